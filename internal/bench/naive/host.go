package naive

import (
	"context"
	"errors"

	moov "github.com/moov-io/iso8583"
)

type hostLink struct{}

func dialHost(context.Context, string, *moov.MessageSpec) (*hostLink, error) {
	return nil, errors.New("not yet")
}
func (*hostLink) close() error                                   { return nil }
func (s *Server) sale(context.Context, *request) ([]byte, error) { return nil, errors.New("not yet") }
