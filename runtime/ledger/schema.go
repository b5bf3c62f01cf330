package ledger

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
)

// schemaSQL is version 1 of the schema, as built into every file. Migrations only
// ever add to it.
//
//go:embed schema.sql
var schemaSQL string

const (
	applicationID = 0x484C4447 // "HLDG"
	schemaVersion = 1
)

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
	err = errors.Join(
		q.QueryRowContext(ctx, "PRAGMA application_id").Scan(&app),
		q.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version),
		q.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&objects))
	switch {
	case err != nil:
		return false, err
	case app == 0 && version == 0 && objects == 0:
		return true, nil
	case app != applicationID || version < 1:
		return false, fmt.Errorf("%w: application id %#x, version %d", errOtherFile, app, version)
	case version > schemaVersion && !readOnly:
		return false, fmt.Errorf("%w: format %d, this one writes %d", errNewer, version, schemaVersion)
	}
	return false, nil
}

// build creates the schema and the file's own meta row, within a transaction.
func build(ctx context.Context, c *sql.Conn, m *metaRow) error {
	if _, err := c.ExecContext(ctx, schemaSQL); err != nil {
		return fmt.Errorf("create schema: %w", err)
	}
	g := m.sum()
	_, err := c.ExecContext(ctx, "INSERT INTO meta VALUES (?, 1, ?, ?, ?, ?, ?)",
		m.ledger, m.format, m.host, m.build, m.at, g[:])
	if err != nil {
		return fmt.Errorf("create meta: %w", err)
	}
	_, err = c.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id=%d; PRAGMA user_version=%d",
		applicationID, schemaVersion))
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

// wantObjects is the schema as SQLite stores it when it is built from schemaSQL.
func wantObjects(ctx context.Context) (map[string]object, error) {
	db := openMemory()
	defer db.Close()
	if _, err := db.ExecContext(ctx, schemaSQL); err != nil {
		return nil, fmt.Errorf("build reference schema: %w", err)
	}
	return objects(ctx, db)
}
