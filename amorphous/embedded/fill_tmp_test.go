package embedded_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
"github.com/fourfold-dev/fourfold/amorphous/embedded"
)

func TestFill(t *testing.T) {
	b := &testing.B{}
	_ = b
	store, err := amorphous.Open(t.Context(), embedded.Dir(t.TempDir(), nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	random := rand.New(rand.NewPCG(1, 2))
	start := time.Now()
	for from := 0; from < 600000; from += 441 {
		for _, err := range store.Write(t.Context(), amorphous.Table{Name: "x"}, benchRows(random, from, 441)...) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if from/441%227 == 226 {
			fmt.Println(from, time.Since(start))
		}
	}
}
