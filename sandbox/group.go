//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"os"
	"runtime"

	"github.com/holdfast-run/holdfast/sandbox/internal/cgroup"
)

// supervisors are the processes of a cell that are not the tool's.
const supervisors = 2

// enclose makes the control group of the cell, if the plan enters one.
func (c *cell) enclose() error {
	if c.facts.Doors == 0 {
		return nil
	}
	l := c.plan.limits
	var err error
	c.group, err = c.runner.groups.New(cgroup.Limits{Memory: l.Memory, Processes: l.Processes + supervisors, CPU: processors()})
	if err != nil {
		return err
	}
	c.doors, err = c.group.Doors()
	if err == nil && len(c.doors) != c.facts.Doors {
		err = fmt.Errorf("%d control groups, planned were %d", len(c.doors), c.facts.Doors)
	}
	return err
}

// processors is what a cell may use of them, in hundredths: half of all, two at
// most, so that the model beside it goes on.
func processors() int { return min(200, max(50, 50*runtime.NumCPU())) }

// attestGroup compares where the kernel says the tool stands with its group.
func (c *cell) attestGroup(pid string) error {
	if c.group == nil {
		return nil
	}
	b, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil {
		return &AttestError{"cgroup", "a readable list", err.Error()}
	}
	if !c.group.Holds(string(b)) {
		return &AttestError{"cgroup", "its own group everywhere", fmt.Sprintf("%q", b)}
	}
	return nil
}

// outOfMemory reports whether the cell has more memory than it may, or, in a
// control group, had to lose a process for it.
func (c *cell) outOfMemory() bool {
	if c.group != nil {
		return c.group.Usage().Killed > 0
	}
	return overMemory(c.watch.PID, c.plan.limits.Memory)
}

// leaveGroup reads what the cell used and removes its group.
func (c *cell) leaveGroup() {
	for _, f := range c.doors {
		if f != nil {
			f.Close()
		}
	}
	if c.group == nil {
		return
	}
	u := c.group.Usage()
	c.result.Usage.Peak, c.result.Usage.Refused = u.Peak, u.Refused
	if u.Killed > 0 && c.result.Limit == LimitNone {
		c.result.Limit = LimitMemory
	}
	if !c.group.Remove(patience) {
		c.result.Stuck = true
	}
}
