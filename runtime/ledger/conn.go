package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/mattn/go-sqlite3"
)

const busyTimeout = 5 * time.Second

// pragma is a setting and what reading it back must give.
type pragma struct {
	set  string
	name string
	want any
}

// Both kinds of connection distrust the file: a schema edited from outside may call no
// function, and malformed pages are found when they are read.
var readPragmas = []pragma{
	{"PRAGMA busy_timeout=5000", "busy_timeout", int64(5000)},
	{"PRAGMA trusted_schema=OFF", "trusted_schema", int64(0)},
	{"PRAGMA cell_size_check=ON", "cell_size_check", int64(1)},
	{"PRAGMA query_only=ON", "query_only", int64(1)},
}

// The writer checkpoints by hand, because SQLite does not report a failed sync of an
// automatic one.
var writePragmas = []pragma{
	{"PRAGMA busy_timeout=5000", "busy_timeout", int64(5000)},
	{"PRAGMA trusted_schema=OFF", "trusted_schema", int64(0)},
	{"PRAGMA cell_size_check=ON", "cell_size_check", int64(1)},
	{"PRAGMA journal_mode=WAL", "journal_mode", "wal"},
	{"PRAGMA synchronous=FULL", "synchronous", int64(2)},
	{"PRAGMA foreign_keys=ON", "foreign_keys", int64(1)},
	{"PRAGMA recursive_triggers=ON", "recursive_triggers", int64(1)},
	{"PRAGMA secure_delete=ON", "secure_delete", int64(1)},
	{"PRAGMA wal_autocheckpoint=0", "wal_autocheckpoint", int64(0)},
}

// connector opens connections without registering a driver by name.
type connector struct {
	dsn string
	drv *sqlite3.SQLiteDriver
}

func (c connector) Connect(context.Context) (driver.Conn, error) { return c.drv.Open(c.dsn) }
func (c connector) Driver() driver.Driver                        { return c.drv }

// openDB returns a pool of connections to the file at an absolute path. It never
// creates the file.
func openDB(path string, readOnly bool) *sql.DB {
	mode, set := "rw", writePragmas
	if readOnly {
		mode, set = "ro", readPragmas
	}
	u := url.URL{Scheme: "file", Path: path, RawQuery: "mode=" + mode}
	hook := func(c *sqlite3.SQLiteConn) error { return apply(c, set) }
	return sql.OpenDB(connector{u.String(), &sqlite3.SQLiteDriver{ConnectHook: hook}})
}

func apply(c *sqlite3.SQLiteConn, set []pragma) error {
	for _, p := range set {
		if _, err := c.Exec(p.set, nil); err != nil {
			return fmt.Errorf("set %s: %w", p.name, err)
		}
		got, err := scalar(c, "PRAGMA "+p.name)
		if err != nil {
			return fmt.Errorf("read %s: %w", p.name, err)
		}
		if got != p.want {
			return fmt.Errorf("set %s: got %v, want %v", p.name, got, p.want)
		}
	}
	return nil
}

func scalar(c *sqlite3.SQLiteConn, query string) (any, error) {
	rows, err := c.Query(query, nil)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	v := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(v); err != nil {
		if err == io.EOF {
			return nil, nil
		}
		return nil, err
	}
	return v[0], nil
}

// openMemory returns an empty database in memory with one connection.
func openMemory() *sql.DB {
	db := sql.OpenDB(connector{":memory:", &sqlite3.SQLiteDriver{}})
	db.SetMaxOpenConns(1)
	return db
}
