package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Client speaks to a switch over its socket. It is safe for concurrent use.
type Client struct {
	place string
	http  *http.Client
}

// Refusal is returned by a Client when the switch has answered with a problem.
type Refusal struct {
	Status int // HTTP
	Text   string
}

func (r *Refusal) Error() string { return r.Text }

// clientTimeout is longer than anything that a server waits for.
const clientTimeout = 3 * time.Minute

// answerLimit bounds what a client reads.
const answerLimit = 256 << 20

// NewClient prepares to speak to the switch whose socket has this configured path; see Place. Nothing is opened yet.
func NewClient(path string) (*Client, error) {
	place, err := Place(path)
	if err != nil {
		return nil, err
	}
	if err := belongs(path, place); err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: probeTimeout}
	return &Client{place: place, http: &http.Client{
		Timeout: clientTimeout,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", place)
			},
			DisableKeepAlives: true,
		},
	}}, nil
}

// belongs demands of a socket in the temporary folder that its folder belongs to whoever owns the state folder, ourselves,
// or root: anybody can make folders there, and a serial number goes over the line in clear.
func belongs(path, place string) error {
	folder, state := filepath.Dir(place), filepath.Dir(mustAbs(path))
	if folder == state {
		return nil
	}
	owners := []int{os.Geteuid(), 0}
	if info, err := os.Stat(state); err == nil {
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			owners = append(owners, int(stat.Uid))
		}
	}
	var err error
	for _, owner := range owners {
		if err = trusted(folder, owner); err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
	}
	return err
}

// Operate carries out an act, or with DryRun tries it. A refused act is an answer with problems, not an error.
func (c *Client) Operate(ctx context.Context, r *OperateRequest) (*OperateAnswer, error) {
	a := new(OperateAnswer)
	err := c.do(ctx, http.MethodPost, "/v1/acts", nil, r, a)
	return a, err
}

// SAF lists what is on its way to hosts or waits for a person; id "" is all of it, limit 0 as much as the switch gives.
func (c *Client) SAF(ctx context.Context, id string, limit int) ([]SAFItem, error) {
	return get[[]SAFItem](ctx, c, "/v1/saf", query("id", id, "limit", count(limit)))
}

// SAFIn lists what is in one state, such as dead.
func (c *Client) SAFIn(ctx context.Context, state string, limit int) ([]SAFItem, error) {
	return get[[]SAFItem](ctx, c, "/v1/saf", query("state", state, "limit", count(limit)))
}

// Budget lists a node and all below it.
func (c *Client) Budget(ctx context.Context, path string) ([]BudgetNode, error) {
	return get[[]BudgetNode](ctx, c, "/v1/budget", query("path", path))
}

// Holds lists purchases that lock a subsidy and have been in their state for longer than an age.
func (c *Client) Holds(ctx context.Context, olderThan time.Duration, limit int) ([]Hold, error) {
	return get[[]Hold](ctx, c, "/v1/holds", query("older_than", olderThan.String(), "limit", count(limit)))
}

// Pauses lists those in force and to come.
func (c *Client) Pauses(ctx context.Context) ([]Pause, error) {
	return get[[]Pause](ctx, c, "/v1/pauses", nil)
}

// Stops lists the merchants and terminals that are stopped.
func (c *Client) Stops(ctx context.Context) ([]Stop, error) {
	return get[[]Stop](ctx, c, "/v1/stops", nil)
}

// Registry gives rows: of a merchant with its terminals, of a terminal, or with neither of all.
func (c *Client) Registry(ctx context.Context, merchant, terminal string) (Registry, error) {
	return get[Registry](ctx, c, "/v1/registry", query("merchant", merchant, "terminal", terminal))
}

// Policy gives the rule bundle in force.
func (c *Client) Policy(ctx context.Context) (Policy, error) {
	return get[Policy](ctx, c, "/v1/policy", nil)
}

// Purchase tells the story of a purchase.
func (c *Client) Purchase(ctx context.Context, id uint64) (*Story, error) {
	return get[*Story](ctx, c, "/v1/purchases/"+strconv.FormatUint(id, 10), nil)
}

// Find looks for purchases.
func (c *Client) Find(ctx context.Context, r *FindRequest) (*Finding, error) {
	f := new(Finding)
	err := c.do(ctx, http.MethodPost, "/v1/purchases/find", nil, r, f)
	return f, err
}

func get[T any](ctx context.Context, c *Client, path string, q url.Values) (T, error) {
	var into T
	err := c.do(ctx, http.MethodGet, path, q, nil, &into)
	return into, err
}

func query(namesAndValues ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		if namesAndValues[i+1] != "" {
			q.Set(namesAndValues[i], namesAndValues[i+1])
		}
	}
	return q
}

func count(limit int) string {
	if limit == 0 {
		return ""
	}
	return strconv.Itoa(limit)
}

func (c *Client) do(ctx context.Context, method, path string, q url.Values, body, into any) error {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	address := url.URL{Scheme: "http", Host: "switch", Path: path, RawQuery: q.Encode()}
	request, err := http.NewRequestWithContext(ctx, method, address.String(), content)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		var failed *net.OpError
		if errors.As(err, &failed) && failed.Op == "dial" {
			return fmt.Errorf("%w on %s: %w", ErrUnreachable, c.place, failed.Err)
		}
		return fmt.Errorf("the switch has ended without an answer, and it is not known whether anything was done: %w",
			errors.Unwrap(err))
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil {
		return fmt.Errorf("read the answer of the switch: %w", err)
	}
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusUnprocessableEntity {
		var p Problem
		if json.Unmarshal(text, &p) != nil || p.Problem == "" {
			p.Problem = response.Status
		}
		return &Refusal{response.StatusCode, p.Problem}
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read the answer of the switch: %w", err)
	}
	return nil
}
