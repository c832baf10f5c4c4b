package main

// The drivers that the flags' URLs may name. A service imports only those that
// it uses.
import (
	_ "github.com/fourfold-dev/fourfold/amorphous/cassandra"
	_ "github.com/fourfold-dev/fourfold/transactional/mysql"
	_ "github.com/fourfold-dev/fourfold/transitory/beanstalkd"
	_ "github.com/fourfold-dev/fourfold/volatile/memcached"
)
