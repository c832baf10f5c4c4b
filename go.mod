module github.com/fourfold-dev/fourfold

go 1.26
