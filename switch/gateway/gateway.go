// Package gateway is the HTTP interface of the switch: claiming apps, QR acquirers and online shops claim entitlements,
// read and return them, show one-time codes, ask for quotes, and reserve, commit, cancel and refund purchases; wallets
// notify it of payments. docs/interface/http.md describes it to its users, openapi.yaml defines it.
//
// It does not decide anything and keeps nothing: every question becomes an input of the engine, every answer is the
// engine's, released after its events are durable. What a request says about a person, a serial number or an idempotency
// key is turned into a keyed hash before it leaves this package, a payment code into a sealed envelope; none is ever
// logged.
//
// The contract with the program around it:
//
//   - Submit takes an engine input or refuses it at once; it never blocks. Refused means that the engine has not seen it: what an
//     earlier request with its key has done stands.
//   - Every accepted input with a token is answered by one Deliver, unless the process ends first. Deliver never blocks
//     and does not keep its argument; an answer that nobody waits for any more is dropped and counted.
//   - Notify, where wallets are connected, checks and takes a notification before it returns; it is bounded by its callers'
//     connections only, so it must not wait for anything.
//   - At most MaxPending requests wait at a time; one more is answered 503 at once, and 429 when one caller alone holds
//     more than its share.
package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"huanxin/switch/keys"
	"huanxin/switch/limit"
)

// Config is what a Gateway needs.
type Config struct {
	// Submit hands a pointer to an engine input (*engine.ClaimRequest …) to the server loop. An error means that the input
	// was not taken; it becomes 503.
	Submit func(body any) error
	// TurnsAway, when set, says that a request that begins something new – a claim, or something else – would be turned away now:
	// it is answered 503 before its body is read.
	TurnsAway func(claim bool) bool
	// Hasher makes the keyed hashes of persons, codes and contents.
	Hasher *keys.Hasher
	// Vault seals the payment codes of wallets.
	Vault *keys.Vault
	// WalletHost is the host profile that payment codes are charged at. "" = no wallet is connected: such a payment is
	// refused, the caller must collect it itself.
	WalletHost string
	// Notify takes a notification of the wallet of that name: it checks the signature, translates the body for the engine
	// and returns the HTTP status, 404 for a wallet it does not know. nil = there are no wallets.
	Notify func(wallet string, header http.Header, body []byte) (status int)
	// Tokens are the callers; at least one.
	Tokens []Token
	// Rand is where one-time codes and references come from: crypto/rand.Reader.
	Rand io.Reader
	// Clock tells today's date, for the birth date of an identity card, and measures requests. Default time.Now.
	Clock func() time.Time
	// Logger gets one entry for each INTERNAL_ERROR, under the reference that its caller was told. Default: none.
	Logger *zap.Logger
	// Registerer takes the metrics, Gatherer is what /metrics shows. Both or neither; without, /metrics is 404.
	Registerer prometheus.Registerer
	Gatherer   prometheus.Gatherer
	// Ready lists the parts of the program for /readyz, in the order to show. Default: no parts, always ready.
	Ready func() []Part
	// Timeout is how long a request waits for the engine. Then 504; or 202, where a wallet may be the one that takes its
	// time. Default 5 s.
	Timeout time.Duration
	// MaxPending bounds the requests that wait for the engine. One more gets 503. Default 16384.
	MaxPending int
	// MaxPerCaller bounds those of one token. One more gets 429. Default: MaxPending with one token, else three quarters
	// of it, so that a rush in one app leaves room for the others.
	MaxPerCaller int
	// Limits are what one sender and one caller may have.
	Limits Limits
	// BodyLimit bounds a request body in bytes. Default 16 KiB.
	BodyLimit int64
}

// Limits are what one address, and one token wherever it is used, may have. Addresses that Sources exempts have no limits, nor do
// tokens that are used from there. The zero Limits are none.
type Limits struct {
	Sources *limit.Sources
	Open    *limit.Holders // connections of an address; one more is closed at once
	// Requests of an address and of a token. One more is answered 429.
	Requests, Callers *limit.Table
}

// Part is one part of the program in /readyz.
type Part struct {
	Name string
	Err  error // nil = ready
}

func (c *Config) setDefaultsAndCheck() error {
	if c.Submit == nil || c.Hasher == nil || c.Rand == nil {
		return errors.New("gateway: Submit, Hasher and Rand must be given")
	}
	if c.WalletHost != "" && c.Vault == nil {
		return errors.New("gateway: WalletHost needs Vault")
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.Ready == nil {
		c.Ready = func() []Part { return nil }
	}
	if (c.Registerer == nil) != (c.Gatherer == nil) {
		return errors.New("gateway: Registerer and Gatherer belong together")
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.MaxPending == 0 {
		c.MaxPending = 16384
	}
	if c.MaxPerCaller == 0 {
		c.MaxPerCaller = c.MaxPending
		if len(c.Tokens) > 1 {
			c.MaxPerCaller = max(1, c.MaxPending/4*3)
		}
	}
	if c.BodyLimit == 0 {
		c.BodyLimit = 16 << 10
	}
	if c.Timeout < 0 || c.MaxPending < 0 || c.MaxPerCaller < 0 || c.BodyLimit < 0 {
		return errors.New("gateway: Timeout, MaxPending, MaxPerCaller and BodyLimit must be positive")
	}
	if err := checkTokens(c.Tokens); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

// Gateway answers HTTP requests with the engine's decisions. It is safe for concurrent use.
type Gateway struct {
	cfg     Config
	look    time.Duration // how long a request that has waited in vain may ask how things stand
	callers []caller
	pending *pending
	metrics *metrics
	paths   *routes
}

// New returns a Gateway, or says what is wrong with cfg.
func New(cfg Config) (*Gateway, error) {
	if err := cfg.setDefaultsAndCheck(); err != nil {
		return nil, err
	}
	g := &Gateway{cfg: cfg, callers: callersOf(cfg.Tokens), pending: newPending(cfg.MaxPending, cfg.MaxPerCaller), look: time.Second}
	g.cfg.Tokens = nil
	var err error
	if g.metrics, err = newMetrics(cfg.Registerer, g.pending); err != nil {
		return nil, fmt.Errorf("gateway: register metrics: %w", err)
	}
	g.paths = g.routes()
	return g, nil
}
