package gateway

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"huanxin/risk/geo"
	"huanxin/switch/engine"
)

// china is the time of every instant that the interface shows. It has had no other offset since 1991.
var china = time.FixedZone("+08:00", 8*60*60)

// Forms of fields that are checked here for shape only: whether a category, city or channel exists is a matter of the
// programme's rules, and an unknown one is refused with a reason.
var (
	codeForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,16}$`)
	cityForm = regexp.MustCompile(`^[0-9]{6}$`)
	keyForm  = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)
	idForm   = regexp.MustCompile(`^[A-Z][0-9]{12}$`)
)

const (
	codeWhat    = "1 to 16 letters, digits, - or _"
	idempotency = "Idempotency-Key"
	// maxFixAge bounds the age of a position in seconds, to eleven days: older is stale under every rule.
	maxFixAge = 999_999
	// A one-time code has 18 digits and begins with 9. Payment codes of wallets begin with 1, 2, 3 and 6: a till that scans
	// the wrong one can tell.
	codeLength  = 18
	codeLeading = '9'
)

// entitlementBody is an entitlement as a caller sees it. No person in it.
type entitlementBody struct {
	Entitlement   string `json:"entitlement"`
	State         string `json:"state"`
	Category      string `json:"category"`
	City          string `json:"city"`
	Channel       string `json:"channel"`
	ClaimedAt     string `json:"claimed_at"`
	ExpiresAt     string `json:"expires_at"`
	PolicyVersion string `json:"policy_version"`
}

func viewBody(v *engine.EntitlementView) *entitlementBody {
	return &entitlementBody{
		Entitlement: formatID(entitlementIDs, v.ID), State: v.State.String(), Category: v.Category, City: v.City, Channel: v.Channel,
		ClaimedAt: formatTime(v.ClaimedAt), ExpiresAt: formatTime(v.ExpiresAt), PolicyVersion: v.Version,
	}
}

// claim is POST /v1/entitlements. The idempotency key is required: an app whose answer was lost must be able to ask again
// without claiming twice.
func (g *Gateway) claim(c *call) (*answer, *problem) {
	key, p := idempotencyKey(c)
	if p != nil {
		return nil, p
	}
	o := c.body
	var who person
	if po := o.object("person", true); po != nil {
		who = readPerson(po, true, g.today())
	}
	category := o.text("category", true, codeForm, codeWhat)
	city := o.text("city", true, cityForm, "a division code of 6 digits")
	channel := o.text("channel", true, codeForm, codeWhat)
	o.end()
	if p := o.problem(); p != nil {
		return nil, p
	}
	reply, p := g.ask(c, func(token engine.Token) any {
		return &engine.ClaimRequest{
			Token:   token,
			Request: engine.Hash(g.cfg.Hasher.Request(c.caller, key)),
			Content: engine.Hash(g.cfg.Hasher.Content([]byte("claim"), []byte(who.kind), []byte(who.number), []byte(who.name),
				[]byte(who.phone), []byte(category), []byte(city), []byte(channel))),
			Person: g.hash(who), IDKind: who.kind, Category: category, City: city, Channel: channel,
		}
	})
	if p != nil {
		return nil, p
	}
	body := viewBody(&reply.View)
	if reply.Status == engine.APIRepeated {
		return &answer{status: http.StatusOK, body: body}, nil
	}
	return &answer{status: http.StatusCreated, body: body, location: "/v1/entitlements/" + body.Entitlement}, nil
}

// show is GET /v1/entitlements/{id}.
func (g *Gateway) show(c *call) (*answer, *problem) {
	id, p := pathID(c)
	if p != nil {
		return nil, p
	}
	reply, p := g.ask(c, func(token engine.Token) any {
		return &engine.EntitlementRequest{Token: token, Entitlement: id}
	})
	if p != nil {
		return nil, p
	}
	return &answer{status: http.StatusOK, body: viewBody(&reply.View)}, nil
}

// giveBack is POST /v1/entitlements/{id}/return.
func (g *Gateway) giveBack(c *call) (*answer, *problem) {
	id, p := pathID(c)
	if p != nil {
		return nil, p
	}
	who := g.requiredPerson(c.body)
	c.body.end()
	if p := c.body.problem(); p != nil {
		return nil, p
	}
	reply, p := g.ask(c, func(token engine.Token) any {
		return &engine.ReturnRequest{Token: token, Entitlement: id, Person: g.hash(who)}
	})
	if p != nil {
		return nil, p
	}
	return &answer{status: http.StatusOK, body: viewBody(&reply.View)}, nil
}

// codeBody is a one-time code for the till.
type codeBody struct {
	Code      string `json:"code"`
	ExpiresAt string `json:"expires_at"`
}

// showCode is POST /v1/entitlements/{id}/codes. The code is made here; the engine and its journal see only its hash.
func (g *Gateway) showCode(c *call) (*answer, *problem) {
	id, p := pathID(c)
	if p != nil {
		return nil, p
	}
	who := g.requiredPerson(c.body)
	position := readPosition(c.body)
	c.body.end()
	if p := c.body.problem(); p != nil {
		return nil, p
	}
	code, err := newCode(g.cfg.Rand)
	if err != nil {
		return nil, g.internal(fmt.Errorf("draw one-time code: %w", err))
	}
	reply, p := g.ask(c, func(token engine.Token) any {
		return &engine.ShowCodeRequest{
			Token: token, Entitlement: id, Person: g.hash(who), Position: position,
			Code: engine.Hash(g.cfg.Hasher.Code([]byte(code))),
		}
	})
	if p != nil {
		return nil, p
	}
	return &answer{status: http.StatusCreated, body: &codeBody{Code: code, ExpiresAt: formatTime(reply.CodeEnds)}}, nil
}

func (g *Gateway) requiredPerson(o *object) person {
	if po := o.object("person", true); po != nil {
		return readPerson(po, false, g.today())
	}
	return person{}
}

// readPosition takes the optional position of a phone (D6). A position that is no position is a mistake of the app, so it
// is refused here, unlike one from a till, which the programme's rules judge.
func readPosition(o *object) engine.Position {
	p := o.object("position", false)
	if p == nil {
		return engine.Position{}
	}
	systems := map[string]geo.CRS{"WGS84": geo.WGS84, "GCJ02": geo.GCJ02, "BD09": geo.BD09}
	name := p.text("crs", true, nil, "")
	position := engine.Position{Given: true, CRS: systems[name]}
	if name != "" && position.CRS == 0 {
		p.invalid("crs", "want WGS84, GCJ02 or BD09")
	}
	position.At.Lon = p.microDegrees("lon", 180)
	position.At.Lat = p.microDegrees("lat", 90)
	position.Age = uint32(p.integer("age_seconds", 0, maxFixAge))
	p.end()
	return position
}

// newCode draws 18 digits: the leading 9 and 17 uniform ones, 56 bits, of which one guess in 10^17 hits a live code.
func newCode(rand io.Reader) (string, error) {
	code := make([]byte, 0, codeLength)
	code = append(code, codeLeading)
	var b [32]byte
	for len(code) < codeLength {
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return "", err
		}
		for _, v := range b {
			// Bytes from 250 on would favour the digits 0 to 5.
			if v < 250 && len(code) < codeLength {
				code = append(code, '0'+v%10)
			}
		}
	}
	return string(code), nil
}

func (g *Gateway) hash(p person) engine.Hash {
	return engine.Hash(g.cfg.Hasher.Person(p.kind, p.number))
}

func (g *Gateway) today() time.Time { return g.cfg.Clock().In(china) }

// idempotencyKey reads the header, with or without the quotes that a structured field has.
func idempotencyKey(c *call) (string, *problem) {
	values := c.req.Header.PeekAll(idempotency)
	if len(values) == 0 {
		return "", fieldProblem(codeMissingField, idempotency, "the header is required")
	}
	key := string(values[0])
	if len(key) >= 2 && strings.HasPrefix(key, `"`) && strings.HasSuffix(key, `"`) {
		key = key[1 : len(key)-1]
	}
	if len(values) > 1 || !keyForm.MatchString(key) {
		return "", fieldProblem(codeInvalidField, idempotency, "want once 1 to 64 letters, digits or ._:-")
	}
	return key, nil
}

// The letters that numbers begin with, so that one kind is never taken for another.
const (
	entitlementIDs = 'E'
	purchaseIDs    = 'P'
)

// formatID writes a number of its kind: a letter and 12 digits.
func formatID(kind byte, id uint64) string { return fmt.Sprintf("%c%012d", kind, id) }

// parseID reads what formatID writes; 0 is nobody's number.
func parseID(kind byte, text string) (uint64, bool) {
	if !idForm.MatchString(text) || text[0] != kind {
		return 0, false
	}
	id, err := strconv.ParseUint(text[1:], 10, 64)
	return id, err == nil && id != 0
}

// pathID reads the entitlement of the path. What cannot be a number is unknown like any other.
func pathID(c *call) (uint64, *problem) {
	id, ok := parseID(entitlementIDs, c.id)
	if !ok {
		return 0, newProblem(codeNotFound)
	}
	return id, nil
}

// formatTime writes an instant of the engine (Unix nanoseconds) as RFC 3339 in +08:00, to the second.
func formatTime(at int64) string { return time.Unix(0, at).In(china).Format(time.RFC3339) }
