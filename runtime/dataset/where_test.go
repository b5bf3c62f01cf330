package dataset_test

import (
	"context"
	"slices"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/dataset"
)

// TestWhereChooses holds expressions against the fixture: two attempts at one task, of
// rewards 1 and 0.5, a run with a denied call, and one that may not leave.
func TestWhereChooses(t *testing.T) {
	m, runs := fixture()
	for i := range runs {
		runs[i].At = began
	}
	for expr, want := range map[string][]int{
		`true`:                          {1, 2, 3, 4},
		`task == "port"`:                {1, 2},
		`run.endsWith("3")`:             {3},
		`status == "done" && steps > 2`: {3},
		`has(reward.total) && reward.total >= 0.9`:      {1},
		`has(scores.task) && scores.task < 1`:           {2},
		`"run_command" in tools`:                        {3},
		`has(labels.user_prompt)`:                       {1, 2},
		`labels.exists(c, c == "tool_response")`:        {1, 2},
		`group == "g" && sample == 1`:                   {2},
		`human`:                                         nil,
		`model == "aa11" && tokens >= 7`:                {1},
		`started < timestamp("2026-02-01T00:00:00Z")`:   {1, 2, 3, 4},
		`now - started > duration("1h")`:                {1, 2, 3, 4},
		`relation == "root" && thread == run && !human`: {1, 2, 3, 4},
	} {
		t.Run(expr, func(t *testing.T) {
			w, err := dataset.NewWhere(expr, dataset.RewardOptions{})
			if err != nil {
				t.Fatal(err)
			}
			list, err := w.Choose(context.Background(), m, runs)
			if err != nil {
				t.Fatal(err)
			}
			var got []int
			for _, r := range list {
				got = append(got, slices.IndexFunc(runs, func(x dataset.Run) bool { return x.ID == r.ID })+1)
			}
			if !slices.Equal(got, want) {
				t.Errorf("runs %v, want %v", got, want)
			}
		})
	}
}

func TestWhereRefuses(t *testing.T) {
	for name, expr := range map[string]string{"Empty": ``, "NoSuchName": `rnu == ""`, "NotABool": `task`, "WrongType": `task == 1`, "BadPattern": `task.matches("(")`} {
		t.Run(name, func(t *testing.T) {
			if _, err := dataset.NewWhere(expr, dataset.RewardOptions{}); err == nil {
				t.Error("accepted")
			}
		})
	}
	m, runs := fixture()
	for name, expr := range map[string]string{
		"AbsentReward":  `reward.total > 0.0`,
		"TooMuchToLook": `tools.all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, [1,2,3,4,5,6,7,8,9].all(d, [1,2,3,4,5,6,7,8,9].all(e, [1,2,3,4,5,6,7,8,9].all(f, [1,2,3,4,5,6,7,8,9].all(g, b+c+d+e+f+g > 0)))))))`,
	} {
		t.Run(name, func(t *testing.T) {
			w, err := dataset.NewWhere(expr, dataset.RewardOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Choose(context.Background(), m, runs); err == nil {
				t.Error("runs were chosen")
			}
		})
	}
}
