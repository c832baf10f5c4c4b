// Package stores is where the example programs keep their data: in a directory,
// or on the servers that the command line names.
package stores

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/volatile"

	// The drivers that the URLs may name. A service imports only those that it
	// uses.
	_ "github.com/fourfold-dev/fourfold/amorphous/cassandra"
	_ "github.com/fourfold-dev/fourfold/transactional/mysql"
	_ "github.com/fourfold-dev/fourfold/transitory/beanstalkd"
	_ "github.com/fourfold-dev/fourfold/volatile/memcached"
)

// Flags are what the command line says of the stores.
type Flags struct {
	Dir string // empty: a temporary one
	// URLs of servers; empty: in process.
	Transitory, Volatile, Transactional, Amorphous string
}

// Define defines -dir, and the four flags that take a URL.
func (f *Flags) Define(set *flag.FlagSet) {
	set.StringVar(&f.Dir, "dir", "", "")
	for name, to := range map[string]*string{
		"transitory": &f.Transitory, "volatile": &f.Volatile, "transactional": &f.Transactional, "amorphous": &f.Amorphous,
	} {
		set.Func(name, "", func(url string) error {
			if *to = url; url == "" {
				return errors.New("no URL is given; without the flag that store is in process")
			}
			return nil
		})
	}
}

// Explain says what to do about an error of opening the stores, and whether it
// is the command line's.
func (f Flags) Explain(err error) (told error, faulty bool) {
	if named := f != (Flags{Dir: f.Dir}); named && fault.Outage(err) {
		err = fmt.Errorf("%w; start it and run the same command again, or leave its flag out to have that store in process", err)
	}
	return err, errors.Is(err, fault.ErrInvalid)
}

// Directory is where the data goes, and how it is removed if it is not kept.
func (f Flags) Directory(program string) (dir string, remove func(), err error) {
	if f.Dir != "" {
		return f.Dir, func() {}, nil
	}
	dir, err = os.MkdirTemp("", program+"-")
	return dir, func() { os.RemoveAll(dir) }, err
}

// Stores are the four stores in a directory, each replaced by a server where
// the flags name one.
func (f Flags) Stores(dir string) persistence.Stores {
	four := embedded.Stores(dir)
	if f.Transitory != "" {
		four.Transitory = transitory.URL(f.Transitory)
	}
	if f.Volatile != "" {
		four.Volatile = volatile.URL(f.Volatile)
	}
	if f.Transactional != "" {
		four.Transactional = transactional.URL(f.Transactional)
	}
	if f.Amorphous != "" {
		four.Amorphous = amorphous.URL(f.Amorphous)
	}
	return four
}

// Shared says whether all stores are on servers.
func (f Flags) Shared() bool {
	return f.Transitory != "" && f.Volatile != "" && f.Transactional != "" && f.Amorphous != ""
}

// Kept says whether a run leaves something to continue from.
func (f Flags) Kept() bool { return f.Dir != "" || f.Shared() }

// Args are the arguments that name these stores again. A URL may hold a
// password, so none is repeated.
func (f Flags) Args() (args []string) {
	if f.Dir != "" {
		args = append(args, "-dir", f.Dir)
	}
	for _, url := range [][2]string{
		{"-transitory", f.Transitory}, {"-volatile", f.Volatile},
		{"-transactional", f.Transactional}, {"-amorphous", f.Amorphous},
	} {
		if url[1] != "" {
			args = append(args, url[0], "URL")
		}
	}
	return args
}
