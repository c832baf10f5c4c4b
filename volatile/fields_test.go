package volatile

import (
	"bytes"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/internal/record"
)

type account struct {
	ID       string `persistence:"key"`
	Name     string
	Password string `transactional:"password_hash"`
	Hidden   string `volatile:"-"`
}

type session struct {
	ID    string `persistence:"key"`
	Token string `volatile:"t"`
	Other string
}

// What is tagged for other purposes only never reaches the cache, nor what is
// left out of it; with volatile tags, only those fields and the key do.
func TestWhatAViewKeeps(t *testing.T) {
	c, err := record.ValuesOf[account](purpose, "new", volatileFields)
	if err != nil {
		t.Fatal(err)
	}
	data, err := c.Encode(&account{"u1", "ann", "canary", "canary"})
	if err != nil || strings.Contains(string(data), "canary") || !strings.Contains(string(data), "ann") {
		t.Errorf("%s, %v", data, err)
	}
	var back account
	if err := c.Decode(data, &back); err != nil || back != (account{ID: "u1", Name: "ann"}) {
		t.Errorf("%+v, %v", back, err)
	}
	s, err := record.ValuesOf[session](purpose, "new", volatileFields)
	if err != nil {
		t.Fatal(err)
	}
	data, err = s.Encode(&session{"s1", "secret", "canary"})
	if err != nil || string(data) != `{"id":"s1","t":"secret"}` {
		t.Errorf("%s, %v", data, err)
	}
}

// A faulty type is refused when the view is made.
func TestFaultyType(t *testing.T) {
	type faulty struct {
		ID string `persistence:"key"`
		C  chan int
	}
	if _, err := record.ValuesOf[faulty](purpose, "new", volatileFields); err == nil {
		t.Error("a channel was accepted")
	}
}

func FuzzRoster(f *testing.F) {
	r := roster{marks: []mark{{"ann", 1, false}, {"bob", 2, true}}}
	f.Add(r.encode())
	f.Add((&roster{split: 7}).encode())
	f.Add([]byte{rosterFormat, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		r, ok := decodeRoster(data)
		if !ok {
			return
		}
		again, ok := decodeRoster(r.encode())
		if !ok || !bytes.Equal(again.encode(), r.encode()) {
			t.Errorf("%+v does not survive encoding", r)
		}
		for i := 1; i < len(r.marks); i++ {
			if r.marks[i-1].id >= r.marks[i].id {
				t.Errorf("%+v is not in order", r)
			}
		}
	})
}
