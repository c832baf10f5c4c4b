package persistence_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/volatile"
)

// What stands between "// [NAME" and "// NAME]" is a code block of README.md,
// and TestTheREADMEIsThisCode holds the two together.

// [program
type Checkin struct {
	ID    string `persistence:"key"`
	User  string
	Venue string
	At    time.Time
}

// program]

// checkinGame has the handlers of the program's plan.
type checkinGame struct {
	players *persistence.Handle[Player]
}

func (game *checkinGame) notifyFriends(ctx context.Context, c Checkin) error     { return nil }
func (game *checkinGame) associate(ctx context.Context, c Checkin) error         { return nil }
func (game *checkinGame) findFriendsNearby(ctx context.Context, c Checkin) error { return nil }

// [handler
type Player struct {
	ID     string `persistence:"key"`
	Points int64  `transactional:""`
}

func (game *checkinGame) award(ctx context.Context, tx *persistence.Tx, c Checkin) error {
	player, err := game.players.In(tx).Get(ctx, c.User)
	if errors.Is(err, fault.ErrNotFound) {
		player, err = Player{ID: c.User}, nil
	}
	if err != nil {
		return err
	}
	player.Points++
	_, err = game.players.In(tx).Put(ctx, player)
	return err
}

// handler]

// readme is the program of the README.
func readme(ctx context.Context, dir string, game *checkinGame, now time.Time) error {
	// [program
	layer, err := persistence.Open(ctx, embedded.Stores(dir), nil) // or four servers, by URL
	if err != nil {
		return err
	}
	defer layer.Close()
	checkins := persistence.Declare(layer, "checkin", persistence.Plan[Checkin]{
		{Priority: 1, Name: "distribute", Purpose: persistence.Transitory, RealTime: true, Do: game.notifyFriends},
		{Priority: 2, Name: "venue", Purpose: persistence.Volatile, RealTime: true, Do: game.associate},
		{Priority: 3, Name: "nearby", Purpose: persistence.Transitory, RealTime: true, Do: game.findFriendsNearby},
		{Priority: 4, Name: "badges", Purpose: persistence.Transactional, Tx: game.award},
		{Priority: 5, Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At"},
		{Priority: 6, Name: "object", Purpose: persistence.Amorphous},
	})
	game.players = persistence.Declare[Player](layer, "player", nil) // the tags say it all

	go layer.Work(ctx)
	receipt, err := checkins.Put(ctx, Checkin{ID: "c1", User: "ann", Venue: "pier", At: now})
	// program]
	if err == nil {
		err = receipt.Wait(ctx)
	}
	if err != nil {
		return err
	}
	for _, task := range receipt.Tasks() {
		fmt.Println(task.Priority, task.Name, task.State)
	}
	player, err := game.players.Get(ctx, "ann")
	fmt.Println(player.ID, "has", player.Points, "point")
	return err
}

func Example() {
	dir, err := os.MkdirTemp("", "fourfold-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	if err := readme(context.Background(), dir, &checkinGame{}, time.Now()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 1 distribute done
	// 2 venue done
	// 3 nearby done
	// 4 badges done
	// 5 activity done
	// 6 object done
	// ann has 1 point
}

// The README's servers are named here so that they compile; that each driver
// takes its URL is tested by the driver.
func onServers() persistence.Stores {
	// [servers
	stores := persistence.Stores{
		Transitory:    transitory.URL("beanstalkd://10.0.0.7,10.0.0.8?plaintext=true"),
		Volatile:      volatile.URL("memcached://h1,h2,h3?tls=true"),
		Transactional: transactional.URL("mysql://app@db.example.org/app?password-env=DB_PASSWORD"),
		Amorphous:     amorphous.URL("cassandra://app@c1,c2,c3/app?consistency=quorum&password-file=/run/secrets/cql"),
	}
	// servers]
	return stores
}

// "The README opens with this program, extracted from a test so that it cannot
// drift."
func TestTheREADMEIsThisCode(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if s := onServers(); s.Transitory == nil || s.Volatile == nil || s.Transactional == nil || s.Amorphous == nil {
		t.Error("the README's servers are not four")
	}
	source, err := os.ReadFile("example_readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := codeBlocks(string(readme))
	for _, name := range []string{"program", "handler", "servers"} {
		want := region(string(source), name)
		if want == "" {
			t.Errorf("the region %s is empty", name)
		}
		if len(blocks) == 0 {
			t.Fatalf("the README lacks the block %s:\n%s", name, want)
		}
		if blocks[0] != want {
			t.Errorf("the README's block %s is\n%s\nand the code is\n%s", name, blocks[0], want)
		}
		blocks = blocks[1:]
	}
	if len(blocks) > 0 {
		t.Errorf("the README has Go code that no test holds:\n%s", strings.Join(blocks, "\n"))
	}
}

// codeBlocks returns the blocks of Go in a Markdown text.
func codeBlocks(text string) (blocks []string) {
	for _, part := range strings.Split(text, "```go\n")[1:] {
		block, _, _ := strings.Cut(part, "```")
		blocks = append(blocks, block)
	}
	return blocks
}

// region returns the lines between the marks of a name, less the indentation of
// the mark; several regions of one name with an empty line between them.
func region(source, name string) string {
	var out bytes.Buffer
	indent, inside := "", false
	for _, line := range strings.Split(source, "\n") {
		switch bare := strings.TrimLeft(line, "\t"); {
		case bare == "// ["+name:
			indent, inside = line[:len(line)-len(bare)], true
			if out.Len() > 0 {
				out.WriteByte('\n')
			}
		case bare == "// "+name+"]":
			inside = false
			out.Truncate(len(bytes.TrimRight(out.Bytes(), "\n")))
			out.WriteByte('\n')
		case inside:
			out.WriteString(strings.TrimPrefix(line, indent) + "\n")
		}
	}
	return out.String()
}
