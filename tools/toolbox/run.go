package toolbox

import (
	"encoding/json"
	"errors"
	"os"
)

// The tools that Run carries out, by the names a model calls them by.
const (
	ListFiles  = "list_files"
	ReadFile   = "read_file"
	SearchText = "search_text"
	WriteFile  = "write_file"
)

// CalculatorTool is the name of the tool that Calculate is the body of. It needs
// no files.
const CalculatorTool = "calculator"

// ErrUsage means that Run was given an unknown tool or arguments that are no JSON
// object of texts. Nothing was done.
var ErrUsage = errors.New("unknown tool or arguments")

// Run carries out one tool on the files below root. args is the JSON object of its
// arguments, all of them texts; a missing path means the root. ok is false when
// the text is an error.
func Run(root *os.Root, tool string, args []byte) (text string, ok bool, err error) {
	// A map, since decoding into a struct would also accept "PATH" for "path".
	var a map[string]string
	if json.Unmarshal(args, &a) != nil {
		return "", false, ErrUsage
	}
	switch tool {
	case ListFiles:
		text, ok = List(root, a["path"])
	case ReadFile:
		text, ok = Read(root, a["path"], DefaultReadLimit)
	case SearchText:
		text, ok = Search(root, a["query"], a["path"])
	case WriteFile:
		text, ok = Write(root, a["path"], a["content"])
	default:
		return "", false, ErrUsage
	}
	return text, ok, nil
}
