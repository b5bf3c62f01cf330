package overlay

// SetPasswd names another file of users until the returned function is called.
func SetPasswd(file string) func() {
	old := passwdFile
	passwdFile = file
	return func() { passwdFile = old }
}
