package main

// exitError ends the program with a code of its own. An empty text prints nothing: the command has said it already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// ExitCode is read by main.
func (e *exitError) ExitCode() int { return e.code }
