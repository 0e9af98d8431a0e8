package control

import (
	"fmt"
	"net/http"
	"slices"

	"huanxin/subsidy/policy"
	"huanxin/switch/engine"
)

// What an operator has read, edited and sent back may have changed meanwhile: a row by a suspension, the rules by somebody
// else's. The act says what was read, and the server looks once more right before it. Between that look and the act there
// is a window still, but it is the server's own and as long as one input of the engine's queue takes, not as long as
// somebody reads a list of differences.

// mostExpected bounds the looks of one act.
const mostExpected = 20

// expected holds an act against what stands now. It returns a 409 when that is not what the operator has read.
func (s *Server) expected(r *http.Request, a *Act) error {
	if a.ApplyPolicy != nil && a.ApplyPolicy.InForce != nil {
		if err := s.expectRules(r, *a.ApplyPolicy.InForce); err != nil {
			return err
		}
	}
	if a.ChangeRows == nil || a.ChangeRows.Expected == nil {
		return nil
	}
	rows := a.ChangeRows.Expected
	if len(rows.Merchants) > mostExpected || len(rows.Terminals) > mostExpected {
		return badRequest("expected: want at most %d rows of each", mostExpected)
	}
	for _, row := range rows.Merchants {
		err := s.expectRow(r, row, "商户 merchant", func(id string) engine.LookRows { return engine.LookRows{Merchant: id} },
			func(v *engine.RowsView) [][]string { return v.Merchants })
		if err != nil {
			return err
		}
	}
	for _, row := range rows.Terminals {
		err := s.expectRow(r, row, "终端 terminal", func(id string) engine.LookRows { return engine.LookRows{Terminal: id} },
			func(v *engine.RowsView) [][]string { return v.Terminals })
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) expectRow(r *http.Request, row []string, kind string, what func(id string) engine.LookRows,
	own func(*engine.RowsView) [][]string,
) error {
	if len(row) == 0 || row[0] == "" {
		return badRequest("expected: a row without an id")
	}
	now, err := look(s, r, what(row[0]), own)
	if err != nil {
		return err
	}
	if rows, _ := now.([][]string); len(rows) != 1 || !slices.Equal(rows[0], row) {
		return &problem{http.StatusConflict, fmt.Sprintf(
			"%s %s 已被他人变更，未作任何改动，请重新查询后再试 – it has changed since it was read and nothing was done; look again and repeat",
			kind, row[0])}
	}
	return nil
}

func (s *Server) expectRules(r *http.Request, inForce string) error {
	now, err := look(s, r, engine.LookPolicy{}, func(v *engine.PolicyView) string { return rulesDigest(v.Files) })
	if err != nil {
		return err
	}
	if now != inForce {
		return &problem{http.StatusConflict, fmt.Sprintf(
			"生效规则已变更为 %s，所示差异已过时，未作任何改动 – the rules in force are others than the difference was shown against, and nothing was done",
			now)}
	}
	return nil
}

// rulesDigest is the digest of a rule bundle, "" of none.
func rulesDigest(files map[string][]byte) string {
	if len(files) == 0 {
		return ""
	}
	return digestText(policy.DigestOf(files))
}
