//go:build linux && (amd64 || arm64)

package stage_test

import (
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
)

// TestCodesEqualHeader compares codes.go with stage.h: Go writes plans with
// the one and C reads them with the other.
func TestCodesEqualHeader(t *testing.T) {
	b, err := os.ReadFile("stage.h")
	if err != nil {
		t.Fatal(err)
	}
	header := map[string]int{}
	for _, m := range regexp.MustCompile(`\b(OP|MSG|FD)_([A-Z]+) = (\d+)`).FindAllStringSubmatch(string(b), -1) {
		n, _ := strconv.Atoi(m[3])
		header[m[1]+"_"+m[2]] = n
	}
	for code, name := range stage.Codes() {
		if header["OP_"+name] != int(code) {
			t.Errorf("%s is %d in Go and %d in C", name, code, header["OP_"+name])
		}
	}
	for name, n := range map[string]int{"MSG_FAIL": stage.MsgFail, "MSG_READY": stage.MsgReady,
		"MSG_REPORT": stage.MsgReport, "MSG_NOEXEC": stage.MsgNoExec, "MSG_EXIT": stage.MsgExit, "MSG_LAYER": stage.MsgLayer,
		"MSG_SOCKET": stage.MsgSocket,
		"FD_CONTROL": stage.FDControl, "FD_BARRIER": stage.FDBarrier, "FD_PLAN": stage.FDPlan, "FD_EXTRA": stage.FDExtra} {
		if got, ok := header[name]; !ok || got != n {
			t.Errorf("%s is %d in Go and %d in C", name, n, got)
		}
	}
	for re, n := range map[string]int{`PLAN_VERSION (\d+)u`: stage.Version, `PLAN_MAX_OPS (\d+)u`: stage.MaxOps,
		`PLAN_MAX_FDS (\d+)u`: stage.MaxFDs, `PLAN_MAX_ARGS (\d+)u`: stage.MaxArgs} {
		m := regexp.MustCompile(re).FindSubmatch(b)
		if m == nil || string(m[1]) != strconv.Itoa(n) {
			t.Errorf("%s is not %d in C", re, n)
		}
	}
}
