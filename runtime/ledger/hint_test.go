package ledger_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/ledger"
)

// TestOpenOfWhatIsNoLedger says it once, and does not send its reader to a command that needs
// a ledger.
func TestOpenOfWhatIsNoLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "own", "ledger.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("this is a text\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, readOnly := range []bool{true, false} {
		l, err := ledger.Open(t.Context(), path, ledger.Options{ReadOnly: readOnly})
		if err == nil {
			l.Close()
		}
		var e *ledger.Error
		if !errors.As(err, &e) || !errors.Is(err, ledger.ErrDamaged) {
			t.Fatalf("read-only %v: %v", readOnly, err)
		}
		if strings.Count(err.Error(), "not a database") != 1 || !strings.Contains(e.Hint, "no ledger") {
			t.Errorf("read-only %v: %v, hint %q", readOnly, err, e.Hint)
		}
	}
}
