package overlay

// Step makes s call f before each step that could be a process's last.
func (s *Store) Step(f func(string)) { s.step = f }

// CheckIndex looks at the index of a git repository.
func CheckIndex(b []byte) error {
	_, err := parseIndex(b)
	return err
}

// ConfigFiles lists what a git configuration may name of a workspace.
func ConfigFiles(text string) []string {
	var list []string
	for _, s := range parseConfig(text) {
		list = append(list, s.files()...)
	}
	return list
}
