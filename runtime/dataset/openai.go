package dataset

// openaiRow is a path in the form of OpenAI's chat fine-tuning.
type openaiRow struct {
	Messages []chatMessage `json:"messages"`
	Tools    []tool        `json:"tools"`
	Parallel bool          `json:"parallel_tool_calls"`
}

// openai writes the whole path of a run as one row; turns that are not trainable have
// weight 0.
func (x *exporter) openai(t *Trajectory) ([]row, error) {
	path := t.Entries[:t.path()]
	d := dialect{text: true, weights: true, thoughts: x.o.Thoughts}
	m, err := d.messages(path, trainable)
	if err != nil {
		return nil, err
	}
	return []row{{first: path[0].Seq, last: path[len(path)-1].Seq,
		body: openaiRow{m, toolList(t.Tools), parallel(path)}}}, nil
}

type openaiPair struct {
	Input        openaiRow     `json:"input"`
	Preferred    []chatMessage `json:"preferred_output"`
	NonPreferred []chatMessage `json:"non_preferred_output"`
}

func (x *exporter) openaiDialect() dialect { return dialect{text: true, thoughts: x.o.Thoughts} }

func (x *exporter) openaiPair(p Pair) (any, error) {
	prompt, chosen, rejected, err := p.written(x.openaiDialect())
	if err != nil {
		return nil, err
	}
	return openaiPair{openaiRow{prompt, toolList(p.t.Tools), parallel(p.Prompt)}, chosen, rejected}, nil
}
