package policy

// Compile reads a bundle: file name → content. It is pure. The error is Problems.
func Compile(files map[string][]byte) (*Programme, error) {
	var r report
	r.add("(bundle)", 0, "programme.yaml is missing")
	return nil, r.err()
}
