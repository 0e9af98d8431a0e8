package event

// Texts makes one string of equal texts: cities, categories, versions, terminals stand in every fact, and ten million facts
// need not keep ten million copies. The zero Texts is empty and ready.
type Texts struct{ known map[string]string }

// maxTexts bounds what is remembered. Past it everything is forgotten, and what is common soon known again.
const maxTexts = 1 << 16

// Of returns string(b).
func (t *Texts) Of(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if known, ok := t.known[string(b)]; ok {
		return known
	}
	if t.known == nil || len(t.known) == maxTexts {
		t.known = map[string]string{}
	}
	s := string(b)
	t.known[s] = s
	return s
}
