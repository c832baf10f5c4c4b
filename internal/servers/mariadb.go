package servers

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// MariaDB is a SQL server with an empty database "fourfold" and a user root
// without a password. Every commit is synced. It reads no configuration of the
// machine: its own defaults are the harshest ones, such as latin1.
type MariaDB struct {
	// Args are more arguments, such as --max-allowed-packet=1M.
	Args []string
	// Password is that of another user, by whom its URL opens it: letters and
	// digits. A test that gives one looks for it in what is printed.
	Password string
	// Clock runs it under libfaketime, so that Server.SetClock sets its clock.
	Clock bool
}

func (m MariaDB) plan(_ context.Context, at place) (*launch, error) {
	program, err := find("MariaDB", "mariadbd", "mariadb-server")
	if err != nil {
		return nil, err
	}
	installer, err := find("MariaDB", "mariadb-install-db", "mariadb-server")
	if err != nil {
		return nil, err
	}
	data, start := filepath.Join(at.dir, "data"), filepath.Join(at.dir, "start.sql")
	l := &launch{
		name: "mariadbd", prefix: "mysql://root@", tail: "/fourfold", deadline: time.Minute,
		address: net.JoinHostPort(at.host, strconv.Itoa(at.port)),
		greet:   greetMySQL,
		command: []string{
			program, "--no-defaults", "--datadir=" + data, "--tmpdir=" + at.dir,
			"--socket=" + filepath.Join(at.dir, "socket"), "--pid-file=" + filepath.Join(at.dir, "pid"),
			"--bind-address=" + at.host, "--port=" + strconv.Itoa(at.port), "--skip-name-resolve",
			"--init-file=" + start, "--innodb-flush-log-at-trx-commit=1",
			// Several packages are tested side by side, each with its pool.
			"--max-connections=500",
		},
		prepare: func(ctx context.Context) error {
			if err := os.WriteFile(start, []byte(m.begin()), 0o600); err != nil {
				return err
			}
			return install(ctx, installer, data)
		},
	}
	l.command = append(l.command, asRoot("--user=root")...)
	l.command = append(l.command, m.Args...)
	if m.Password != "" {
		l.prefix = "mysql://guest:" + m.Password + "@"
	}
	if m.Clock {
		if err := l.fakeTime("MariaDB", at.dir); err != nil {
			return nil, err
		}
	}
	return l, fits(filepath.Join(at.dir, "socket"))
}

// begin is what the server executes at each start, a statement a line.
func (m MariaDB) begin() string {
	sql := "CREATE DATABASE IF NOT EXISTS fourfold;\n"
	if m.Password != "" {
		sql += "CREATE USER IF NOT EXISTS guest@'%' IDENTIFIED BY '" + m.Password + "';\nGRANT ALL ON *.* TO guest@'%';\n"
	}
	return sql
}

// install makes the system tables, unless a server has run on the directory
// before.
func install(ctx context.Context, installer, data string) error {
	if _, err := os.Stat(filepath.Join(data, "mysql")); err == nil {
		return nil
	}
	cmd := exec.CommandContext(ctx, installer, append([]string{
		"--no-defaults", "--auth-root-authentication-method=normal",
		"--skip-test-db", "--skip-name-resolve", "--datadir=" + data,
	}, asRoot("--user=root")...)...)
	cmd.Env = environment()
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("servers: mariadb-install-db: %w\n%s", err, output)
	}
	return nil
}
