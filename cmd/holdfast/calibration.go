package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/holdfast-run/holdfast/eval"
	"github.com/holdfast-run/holdfast/models"
	"github.com/holdfast-run/holdfast/runtime/frame"
	"github.com/holdfast-run/holdfast/safety/review"
)

// What makes a model's labels mean what they say stands in its file, or, for one that was
// calibrated here, in a file of the data directory by the model's digest. Both count only
// for the prompts that they were found with.

// calibrations is where models that were calibrated here are kept.
func calibrations() string { return filepath.Join(dataDir(), "calibration.json") }

type calibrationFile struct {
	Version int                        `json:"version"`
	Models  map[string]savedThresholds `json:"models"` // by SHA-256 of the file
}

type savedThresholds struct {
	Frames     string `json:"frames"` // digest of the prompts
	Thresholds string `json:"thresholds"`
	Texts      int    `json:"texts"` // how many labelled texts it was found on
}

// readCalibrations reads the file; one that does not exist holds none.
func readCalibrations() (calibrationFile, error) {
	f := calibrationFile{Version: 1, Models: map[string]savedThresholds{}}
	b, err := os.ReadFile(calibrations())
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err == nil && (f.Version != 1 || f.Models == nil) {
		err = errors.New("its version is not known")
	}
	if err != nil {
		return f, &failure{exitUsage, fmt.Errorf("read %s: %w", calibrations(), err), "mend or remove it"}
	}
	return f, nil
}

// saveCalibration keeps what was found for one model.
func saveCalibration(gguf string, c eval.Fitted, texts int) error {
	f, err := readCalibrations()
	if err != nil {
		return err
	}
	f.Models[gguf] = savedThresholds{frame.Digest(), encodeThresholds(c), texts}
	b, err := json.MarshalIndent(f, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(calibrations()), 0o700)
	}
	if err == nil {
		err = os.WriteFile(calibrations()+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(calibrations()+".new", calibrations())
	}
	if err != nil {
		return fmt.Errorf("save calibration: %w", err)
	}
	return nil
}

// encodeThresholds is a calibration as a model's file holds it.
func encodeThresholds(c eval.Fitted) string {
	return fmt.Sprintf("refuse=%.4g ask=%.4g temp=%.4g", c.Thresholds.Refuse, c.Thresholds.Ask, c.Temp)
}

// parseThresholds reads refuse=R ask=A, and temp=T where one was found. Anything else is
// none at all.
func parseThresholds(s string) (review.Thresholds, error) {
	found := map[string]float64{}
	for _, f := range strings.Fields(s) {
		name, value, _ := strings.Cut(f, "=")
		v, err := strconv.ParseFloat(value, 64)
		if _, twice := found[name]; err != nil || twice || name != "refuse" && name != "ask" && name != "temp" {
			return review.Thresholds{}, fmt.Errorf("thresholds %q cannot be read", s)
		}
		found[name] = v
	}
	cut := review.Cut{Refuse: found["refuse"], Ask: found["ask"]}
	t := review.Thresholds{Prompt: cut, Call: cut, Response: cut, Temp: found["temp"]}
	return t, t.Validate()
}

// thresholds takes a model's calibration from what was saved here, else from its file. A
// model trained on other frames than this build's is not calibrated for them.
func thresholds(info models.Info, digest string) (review.Thresholds, []string, error) {
	var notes []string
	d, trained := info.Meta["holdfast.frames.digest"]
	if trained && d != frame.Digest() {
		notes = append(notes, "the model was trained on other prompts than this build sends")
	}
	f, err := readCalibrations()
	if err != nil {
		return review.Thresholds{}, nil, err
	}
	text := info.Meta["holdfast.thresholds"]
	if s, ok := f.Models[digest]; ok && s.Frames == frame.Digest() {
		if text, d = s.Thresholds, s.Frames; text != info.Meta["holdfast.thresholds"] {
			notes = append(notes, "its labels are read as calibrated on this machine ("+calibrations()+")")
		}
	}
	t, err := parseThresholds(text)
	if err != nil || d != frame.Digest() {
		return review.Uncalibrated(), append(notes, "the model's label probabilities are not calibrated"), nil
	}
	return t, notes, nil
}
