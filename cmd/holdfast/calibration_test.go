package main

import (
	"os"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/eval"
	"github.com/holdfast-run/holdfast/models"
	"github.com/holdfast-run/holdfast/runtime/frame"
	"github.com/holdfast-run/holdfast/safety/review"
)

func TestParseThresholds(t *testing.T) {
	got, err := parseThresholds("refuse=0.5 ask=0.4")
	if err != nil || got.Prompt != (review.Cut{Refuse: 0.5, Ask: 0.4}) || got.Response != got.Call || got.Temp != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	c := eval.Fitted{Temp: 5.7125, Thresholds: eval.Thresholds{Refuse: 0.45, Ask: 0.52}}
	if got, err = parseThresholds(encodeThresholds(c)); err != nil || got.Temp != 5.713 || got.Call.Refuse != 0.45 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", "refuse=0.5", "refuse=0 ask=0.5", "refuse=2 ask=0.5", "refuse=0.5 ask=0.5 temp=-1", "refuse=0.5 ask=0.5 temp=NaN",
		"refuse=0.5 ask=0.5 ask=0.9", "refuse=0.5 ask=0.5 more=1", "refuse=NaN ask=0.5", "refuse=0.5 ask=0.5 temp=Inf"} {
		if got, err := parseThresholds(bad); err == nil {
			t.Errorf("%q gives %+v", bad, got)
		}
	}
}

// TestEmbeddedModelKnowsThesePrompts: a change of prompts needs another model. See
// CONTRIBUTING.md.
func TestEmbeddedModelKnowsThesePrompts(t *testing.T) {
	f, err := openModel(t.Context(), models.ReferenceName)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := f.info.Meta["holdfast.frames.digest"]; got != frame.Digest() {
		t.Errorf("the embedded model was trained on the prompts %q, these are %q", got, frame.Digest())
	}
}

// TestThresholdsOfAModel takes what was saved here for this very model and these prompts,
// else what its file says, else nothing.
func TestThresholdsOfAModel(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	ours := models.Info{Meta: map[string]string{"holdfast.frames.digest": frame.Digest(), "holdfast.thresholds": "refuse=0.5 ask=0.5"}}
	other := models.Info{Meta: map[string]string{}}
	want := func(info models.Info, digest string, refuse, temp float64, noted bool) {
		t.Helper()
		got, notes, err := thresholds(info, digest)
		if err != nil || got.Prompt.Refuse != refuse || got.Temp != temp || (len(notes) > 0) != noted {
			t.Errorf("%+v, %q, %v", got, notes, err)
		}
	}
	want(ours, "a", 0.5, 0, false)
	want(other, "b", 0.9, 0, true)
	if err := saveCalibration("b", eval.Fitted{Temp: 3, Thresholds: eval.Thresholds{Refuse: 0.4, Ask: 0.3}}, 81); err != nil {
		t.Fatal(err)
	}
	want(other, "b", 0.4, 3, true)
	want(other, "c", 0.9, 0, true)
	want(ours, "a", 0.5, 0, false)
	b, err := os.ReadFile(calibrations())
	if err != nil {
		t.Fatal(err)
	}
	put(t, calibrations(), strings.Replace(string(b), frame.Digest(), "other prompts", 1))
	want(other, "b", 0.9, 0, true)
	put(t, calibrations(), "{")
	if _, _, err := thresholds(ours, "a"); err == nil {
		t.Error("a damaged file counts as none")
	}
}
