//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"testing"
)

// TestDescriptorsAreCompared: of a cell with one descriptor too many, too few or
// another than it was given there is no attestation.
func TestDescriptorsAreCompared(t *testing.T) {
	given := streams{{0, 9, 100}, {1, 9, 101}, {2, 9, 102}}
	barrier, more := FileFact{3, 8, 103}, FileFact{7, 1, 5}
	helper := &Image{}
	for name, c := range map[string]struct {
		open   []FileFact
		word   uint64
		helper *Image
		ok     bool
		by     string
	}{
		"AsGiven":         {append(given[:], barrier), 0, nil, true, "kernel"},
		"WithTheProgram":  {append(given[:], barrier, FileFact{4, 1, 5}), 0, helper, true, "kernel"},
		"OneMore":         {append(given[:], barrier, more), 0, nil, false, ""},
		"AnotherNumber":   {append(given[:], more), 0, nil, false, ""},
		"NotTheProgram":   {append(given[:], barrier, more), 0, helper, false, ""},
		"OneLess":         {given[:], 0, nil, false, ""},
		"AnotherStream":   {append([]FileFact{{0, 9, 7}}, append(given[1:], barrier)...), 0, nil, false, ""},
		"StagesWord":      {nil, 4, nil, true, "stage"},
		"StagesOtherWord": {nil, 5, nil, false, ""},
		"StagesSilence":   {nil, 0, helper, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var a Attestation
			x := &cell{spec: Spec{Helper: c.helper}}
			x.given, x.open, x.report.data[7] = given, c.open, c.word
			err := a.files(x)
			if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrAttest) || c.ok && a.FilesBy != c.by {
				t.Errorf("%v, by %q", err, a.FilesBy)
			}
		})
	}
}
