package policy

// goldenCase is one case of golden.yaml.
type goldenCase struct{}
