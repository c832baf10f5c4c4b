package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"github.com/beanstalkd/go-beanstalk"
	"github.com/bradfitz/gomemcache/memcache"
	"github.com/go-sql-driver/mysql"
)

// tubeNames are the tubes of the two follow-ups.
var tubeNames = [2]string{"hand-notify", "hand-index"}

// Sizes of the pools by hand. More connections to MySQL made it slower on two
// cores, and so did more followers.
const (
	sqlConns  = 16
	followers = 8 // per tube
)

// cachePatience is how long the cache may take to answer, on a machine that is busy.
const cachePatience = 5 * time.Second

// openByHand opens the clients on the servers. The time that a request to
// Cassandra waits for others to share its packet is 200 us unless one changes it:
// good for many callers, a tax on a lone one.
func openByHand(ctx context.Context, s servers, coalesce time.Duration) (_ *byHand, err error) {
	h := &byHand{}
	defer func() {
		if err != nil {
			h.close()
		}
	}()
	if h.rows, err = openRows(s.Transactional); err != nil {
		return nil, err
	}
	if h.cells, err = openCells(s.Amorphous, coalesce); err != nil {
		return nil, err
	}
	if err := h.createTables(ctx); err != nil {
		return nil, err
	}
	if h.upsert, err = h.rows.PrepareContext(ctx, upsertRow); err != nil {
		return nil, err
	}
	h.cache = memcache.New(strings.TrimPrefix(s.Volatile, "memcached://"))
	h.cache.MaxIdleConns = 1024
	h.cache.Timeout = cachePatience
	return h, nil
}

func openRows(at string) (*sql.DB, error) {
	cfg := mysql.NewConfig()
	u, err := url.Parse(at)
	if err != nil {
		return nil, errors.New("the transactional URL cannot be read")
	}
	cfg.Net, cfg.Addr, cfg.DBName, cfg.ParseTime = "tcp", u.Host, strings.Trim(u.Path, "/"), true
	cfg.User = u.User.Username()
	cfg.Passwd, _ = u.User.Password()
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(sqlConns)
	db.SetMaxIdleConns(sqlConns)
	return db, nil
}

func openCells(at string, coalesce time.Duration) (*gocql.Session, error) {
	u, err := url.Parse(at)
	if err != nil {
		return nil, errors.New("the amorphous URL cannot be read")
	}
	cluster := gocql.NewCluster(strings.Split(u.Host, ",")...)
	cluster.Keyspace = strings.Trim(u.Path, "/")
	cluster.Consistency = gocql.LocalQuorum
	cluster.PoolConfig.HostSelectionPolicy = gocql.TokenAwareHostPolicy(gocql.RoundRobinHostPolicy())
	cluster.WriteCoalesceWaitTime = coalesce
	if _, port, err := net.SplitHostPort(strings.Split(u.Host, ",")[0]); err == nil {
		fmt.Sscan(port, &cluster.Port)
	}
	if password, set := u.User.Password(); set {
		cluster.Authenticator = gocql.PasswordAuthenticator{Username: u.User.Username(), Password: password,
			AllowedAuthenticators: []string{"org.apache.cassandra.auth.PasswordAuthenticator"}}
	}
	return cluster.CreateSession()
}

func (h *byHand) createTables(ctx context.Context) error {
	_, err := h.rows.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS hand_checkin ("+
		"id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY, user VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, "+
		"venue VARCHAR(64) NOT NULL, at DATETIME(6) NOT NULL, text MEDIUMTEXT NOT NULL, INDEX by_user (user)) ENGINE=InnoDB")
	if err != nil {
		return err
	}
	for _, statement := range []string{
		"CREATE TABLE IF NOT EXISTS hand_activity (user text, at timestamp, id text, body blob, " +
			"PRIMARY KEY ((user), at, id)) WITH CLUSTERING ORDER BY (at DESC, id DESC)",
		"CREATE TABLE IF NOT EXISTS hand_object (id text PRIMARY KEY, body blob)",
	} {
		if err := h.cells.Query(statement).ExecContext(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (h *byHand) close() {
	if h.upsert != nil {
		_ = h.upsert.Close()
	}
	if h.rows != nil {
		_ = h.rows.Close()
	}
	if h.cells != nil {
		h.cells.Close()
	}
	if h.cache != nil {
		_ = h.cache.Close()
	}
}

// hire makes the workers of a lap.
func (h *byHand) hire(queue string, n int) (hands []*hand, dismiss func(), err error) {
	var conns []*beanstalk.Conn
	dismiss = func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}
	for range n {
		conn, err := dialQueue(queue)
		if err != nil {
			dismiss()
			return nil, nil, err
		}
		conns = append(conns, conn)
		hands = append(hands, &hand{h, beanstalk.NewTube(conn, tubeNames[0]), beanstalk.NewTube(conn, tubeNames[1])})
	}
	return hands, dismiss, nil
}

func dialQueue(queue string) (*beanstalk.Conn, error) {
	return beanstalk.DialTimeout("tcp", strings.TrimPrefix(queue, "beanstalkd://"), 5*time.Second)
}

// followAll lets the followers do the jobs of both tubes, until stop is called.
func followAll(ctx context.Context, queue string, do func(task int, c *Checkin)) (stop func() error, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var conns []*beanstalk.Conn
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed []error
	stop = func() error {
		cancel()
		for _, c := range conns {
			_ = c.Close()
		}
		all.Wait()
		return errors.Join(failed...)
	}
	for task, tube := range tubeNames {
		for range followers {
			conn, err := dialQueue(queue)
			if err != nil {
				return nil, errors.Join(err, stop())
			}
			conns = append(conns, conn)
			all.Go(func() {
				if err := follow(ctx, conn, tube, func(c *Checkin) { do(task, c) }); err != nil {
					mu.Lock()
					defer mu.Unlock()
					failed = append(failed, err)
				}
			})
		}
	}
	return stop, nil
}
