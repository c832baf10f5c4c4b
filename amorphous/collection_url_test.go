package amorphous_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

func TestURL(t *testing.T) {
	ctx := t.Context()
	for _, bad := range []string{"", "nonsense", "nobody://x:secret@y", "secret:pw@host", "embedded://", "embedded://x?y=z", "embedded://x?relaxed=maybe"} {
		_, err := amorphous.Open(ctx, amorphous.URL(bad), nil)
		if !errors.Is(err, fault.ErrInvalid) || strings.Contains(err.Error(), "secret") {
			t.Errorf("the URL %q: %v", bad, err)
		}
	}
	store, err := amorphous.Open(ctx, amorphous.URL("embedded://"+t.TempDir()+"?relaxed=true"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if f := store.Features(); f.Durability != fault.Written {
		t.Errorf("relaxed is said so: %+v", f)
	}
	if _, err := amorphous.Open(ctx, nil, nil); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("no source: %v", err)
	}
	for _, namespace := range []string{"A", "a-b", strings.Repeat("a", 17)} {
		if _, err := amorphous.Open(ctx, embedded.Dir(t.TempDir(), nil), &amorphous.Options{Namespace: namespace}); !errors.Is(err, fault.ErrInvalid) {
			t.Errorf("the namespace %q: %v", namespace, err)
		}
	}
}

func TestNamespaces(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	var stores []*amorphous.Store
	for _, namespace := range []string{"", "other"} {
		store, err := amorphous.Open(ctx, embedded.Dir(dir, nil), &amorphous.Options{Namespace: namespace})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		stores = append(stores, store)
	}
	one, two := collect[Note](t, stores[0], "notes", nil), collect[Note](t, stores[1], "notes", nil)
	if err := one.Put(ctx, note(1, "ann", day)); err != nil {
		t.Fatal(err)
	}
	if _, err := two.Get(ctx, "n001"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("namespaces are apart: %v", err)
	}
}
