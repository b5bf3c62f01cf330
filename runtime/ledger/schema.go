package ledger

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
)

// schemaSQL is version 1 of the schema, as built into every file.
//
//go:embed schema.sql
var schemaSQL string

const applicationID = 0x484C4447 // "HLDG"

// migrations lead from one version of the schema to the next: entry i makes version i+1.
// The list only ever gains entries. One adds tables, indexes, triggers and views; it
// never rewrites a row, since rows are hashed as they were written.
func migrations() []string { return []string{schemaSQL} }

// schemaVersion is the version that this build writes.
func schemaVersion() int64 { return int64(len(migrations())) }

// migrate brings a file to the version of the last step, one transaction a step, so that
// a file is always of one version. A file that is still empty has version 0.
func migrate(ctx context.Context, w *writer, steps []string) error {
	var at int64
	if err := w.conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&at); err != nil {
		return fmt.Errorf("read version: %w", err)
	}
	for ; at < int64(len(steps)); at++ {
		err := w.tx(func() error {
			if _, err := w.conn.ExecContext(ctx, steps[at]); err != nil {
				return err
			}
			_, err := w.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version=%d", at+1))
			return err
		})
		if err != nil {
			return fmt.Errorf("migrate ledger to version %d: %w", at+1, err)
		}
	}
	return nil
}

// rowQuerier is the reading part of sql.DB, sql.Conn and sql.Tx.
type rowQuerier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

var (
	errOtherFile = errors.New("file is not a ledger")
	errNewer     = errors.New("ledger was written by a newer version")
)

// identify reports whether the file is still empty, and refuses one that is not a
// ledger. A newer one is refused for writing only.
func identify(ctx context.Context, q rowQuerier, readOnly bool) (fresh bool, err error) {
	var app, version, objects int64
	for _, ask := range []struct {
		query string
		to    *int64
	}{{"PRAGMA application_id", &app}, {"PRAGMA user_version", &version}, {"SELECT count(*) FROM sqlite_schema", &objects}} {
		if err := q.QueryRowContext(ctx, ask.query).Scan(ask.to); err != nil {
			return false, err
		}
	}
	switch {
	case app == 0 && version == 0 && objects == 0:
		return true, nil
	case app != applicationID || version < 1:
		return false, fmt.Errorf("%w: application id %#x, version %d", errOtherFile, app, version)
	case version > schemaVersion() && !readOnly:
		return false, fmt.Errorf("%w: format %d, this one writes %d", errNewer, version, schemaVersion())
	}
	return false, nil
}

// build creates the schema and the file's own meta row, within a transaction.
func build(ctx context.Context, c *sql.Conn, m *metaRow) error {
	for _, step := range migrations() {
		if _, err := c.ExecContext(ctx, step); err != nil {
			return fmt.Errorf("create schema: %w", err)
		}
	}
	g := m.sum()
	_, err := c.ExecContext(ctx, "INSERT INTO meta VALUES (?, 1, ?, ?, ?, ?, ?)",
		m.ledger, m.format, m.host, m.build, m.at, g[:])
	if err != nil {
		return fmt.Errorf("create meta: %w", err)
	}
	_, err = c.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id=%d; PRAGMA user_version=%d",
		applicationID, schemaVersion()))
	return err
}

// object is one row of sqlite_schema.
type object struct{ kind, name, table, sql string }

func objects(ctx context.Context, q rowQuerier) (map[string]object, error) {
	rows, err := q.QueryContext(ctx, "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]object{}
	for rows.Next() {
		var o object
		if err := rows.Scan(&o.kind, &o.name, &o.table, &o.sql); err != nil {
			return nil, err
		}
		out[o.kind+" "+o.name] = o
	}
	return out, rows.Err()
}

// wantObjects is the schema as SQLite stores it when it is built from these steps.
func wantObjects(ctx context.Context, steps []string) (map[string]object, error) {
	db := openMemory()
	defer db.Close()
	for _, step := range steps {
		if _, err := db.ExecContext(ctx, step); err != nil {
			return nil, fmt.Errorf("build reference schema: %w", err)
		}
	}
	return objects(ctx, db)
}
