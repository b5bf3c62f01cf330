package ledger_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
)

func Example() {
	tmp, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	ctx := context.Background()

	l, err := ledger.Open(ctx, filepath.Join(tmp, "ledger", "ledger.db"), ledger.Options{Build: "v1"})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	run, err := l.Begin(ctx, ledger.RunInfo{})
	if err != nil {
		log.Fatal(err)
	}
	defer run.Close()
	for _, b := range []agent.Body{
		&agent.RunStart{Agent: "demo", Task: agent.Text("say hello")},
		&agent.RunEnd{Status: agent.StatusDone, Answer: agent.Text("hello")},
	} {
		if _, err := run.Append(ctx, agent.Event{Body: b}); err != nil {
			log.Fatal(err)
		}
	}

	for e, err := range l.Events(ctx, run.ID()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Seq, e.Body.Kind())
	}
	report, err := l.Verify(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(report)
	// Output:
	// 1 run.start
	// 2 run.end
	// integrity     ok: 2 events, 2 blobs, 0 withheld, schema as built
	// completeness  ok to head 2; 0 events after the last head of their run; 0 runs open
	// anchored      no: heads rest on this file alone, so a cut behind them cannot be excluded
}
