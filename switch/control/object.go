package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// deepest is how far JSON may be nested. An act has four levels.
const deepest = 16

// noNameTwice walks one JSON value and refuses an object that has a name twice, in whatever case: two readers would
// understand two things.
func noNameTwice(d *json.Decoder) error { return walk(d, 0) }

func walk(d *json.Decoder, depth int) error {
	if depth > deepest {
		return errors.New("nested too deeply")
	}
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('{'):
		names := map[string]bool{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return err
			}
			// Of an object the decoder gives strings only. It takes ſ for s and K for k, which are small letters of S and K too.
			name := strings.ToLower(strings.ToUpper(key.(string)))
			if names[name] {
				return fmt.Errorf("%q stands twice", name)
			}
			names[name] = true
			if err := walk(d, depth+1); err != nil {
				return err
			}
		}
		_, err = d.Token()
	case json.Delim('['):
		for d.More() {
			if err := walk(d, depth+1); err != nil {
				return err
			}
		}
		_, err = d.Token()
	}
	return err
}
