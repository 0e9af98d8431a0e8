package control

import (
	"context"
	"net/http"
)

// KeysReloaded says what a switch has taken over from its key store.
type KeysReloaded struct {
	Changed bool   `json:"changed"`
	Acts    int    `json:"acts"` // that are now events of the journal
	Store   string `json:"store"`
	LMK     string `json:"lmk"`      // id of the master key that the store is under
	CardKey string `json:"card_key"` // that seals
}

// reloadKeys is a poke: who may open the socket may have the switch read its key store again. It has the time of a long
// reading: a hundred thousand new keys are as many events.
func (s *Server) reloadKeys(r *http.Request) (any, error) {
	if s.cfg.ReloadKeys == nil {
		return nil, &problem{http.StatusNotFound, "this switch has no key store"}
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.ReadTimeout)
	defer cancel()
	done, err := s.cfg.ReloadKeys(ctx)
	if err != nil {
		return nil, &problem{http.StatusConflict, err.Error()}
	}
	return done, nil
}

// ReloadKeys has the switch read its key store again, without a restart.
func (c *Client) ReloadKeys(ctx context.Context) (*KeysReloaded, error) {
	done := new(KeysReloaded)
	err := c.do(ctx, http.MethodPost, "/v1/keys/reload", nil, nil, done)
	return done, err
}
