// Package config reads one file of settings, with overrides from the environment, and refuses to go on when anything in
// it is unknown, malformed or contradicts something else. Every refusal names the key.
//
// It does not open a socket, a key or a folder, and it knows no other package: the program maps its sections onto each
// package's own Config. Only cmd imports it.
//
// The contract:
//   - The file is the one named by flag, else config/huanxin.yaml below the working directory, else the copy built into
//     the program. The embedded file is the operator's manual: each key stands in it with its default and its meaning,
//     and a test holds file and defaults together.
//   - A key may be left out: its default holds. `listeners` and `hosts` are maps of named entries: writing the section
//     replaces all of its entries, and each entry starts from the entry defaults.
//   - HUANXIN_SECTION_KEY overrides `section.key`; the dots and hyphens of a key become underscores
//     (HUANXIN_LISTENERS_CUP_ADDRESS, HUANXIN_HTTP_READ_TIMEOUT). A list is written with commas. A variable that begins
//     with HUANXIN_ and names no setting is refused like an unknown key.
//   - Relative paths are below State; State itself is relative to the working directory.
package config

import (
	"path/filepath"
	"time"
)

// Config is every setting of `huanxin serve`. The comments of huanxin.yaml say what each means to an operator; the ones
// here say what it means to the program.
type Config struct {
	// Security is insecure-demo: no line security exists yet, so every address must be loopback and DE52 is refused.
	Security string `mapstructure:"security"`
	// Programme names a folder of config/programmes, or is a path to one.
	Programme string `mapstructure:"programme"`
	// State is the folder under which everything that the process writes lies.
	State string `mapstructure:"state"`

	Log       Log                 `mapstructure:"log"`
	Listeners map[string]Listener `mapstructure:"listeners"`
	Terminal  Terminal            `mapstructure:"terminal"`
	HTTP      HTTP                `mapstructure:"http"`
	Hosts     map[string]Host     `mapstructure:"hosts"`
	Routes    Routes              `mapstructure:"routes"`
	Engine    Engine              `mapstructure:"engine"`
	Journal   Journal             `mapstructure:"journal"`
	Snapshot  Snapshot            `mapstructure:"snapshot"`
	Database  Database            `mapstructure:"database"`
	Keys      Keys                `mapstructure:"keys"`
	Stop      Stop                `mapstructure:"stop"`
}

// Log is how much is written to standard error, and in which form.
type Log struct {
	Level  string `mapstructure:"level"`  // debug, info, warn, error
	Format string `mapstructure:"format"` // console, json
}

// Listener is one port for terminals.
type Listener struct {
	Address      string        `mapstructure:"address"` // host:port; port 0 lets the system choose
	Framing      string        `mapstructure:"framing"` // cup, nac, ncc, ascii4, raw2, raw4
	Dialect      string        `mapstructure:"dialect"` // a name of config/dialects or a path to a JSON file
	TPDU         string        `mapstructure:"tpdu"`    // swap, unchanged
	TLS          TLS           `mapstructure:"tls"`
	Connections  int           `mapstructure:"connections"`   // at once; one more is closed at once
	InFlight     int           `mapstructure:"in-flight"`     // requests of one connection; more stop its reading
	FrameLimit   Size          `mapstructure:"frame-limit"`   // longest message, bytes
	ReadTimeout  time.Duration `mapstructure:"read-timeout"`  // from the first byte of a frame to its last
	IdleTimeout  time.Duration `mapstructure:"idle-timeout"`  // without any frame
	WriteTimeout time.Duration `mapstructure:"write-timeout"` // for one answer
}

// TLS is a certificate and its key, both PEM files. Empty: plain TCP.
type TLS struct {
	Certificate string `mapstructure:"certificate"`
	Key         string `mapstructure:"key"`
}

// Terminal is what is known of the terminals themselves.
type Terminal struct {
	// AnswerTimeout is how long a terminal waits before it reverses. Every host time-out is shorter by at least 5 s.
	AnswerTimeout time.Duration `mapstructure:"answer-timeout"`
	// Pending bounds the requests of all listeners that wait for the engine; one more is answered 96.
	Pending int `mapstructure:"pending"`
}

// HTTP is the interface for acquirers, shops and claiming apps, with /metrics, /healthz and /readyz.
type HTTP struct {
	Address     string        `mapstructure:"address"`
	TokenFile   string        `mapstructure:"token-file"`
	ReadTimeout time.Duration `mapstructure:"read-timeout"`
	IdleTimeout time.Duration `mapstructure:"idle-timeout"`
	Answer      time.Duration `mapstructure:"answer-timeout"` // for the engine's answer; then 503
	BodyLimit   Size          `mapstructure:"body-limit"`
	Pending     int           `mapstructure:"pending"`
}

// Host is one profile of a card network or wallet.
type Host struct {
	Address      string        `mapstructure:"address"`
	Framing      string        `mapstructure:"framing"`
	Dialect      string        `mapstructure:"dialect"`
	Acquirer     string        `mapstructure:"acquirer"`    // DE32 towards this host
	Header       string        `mapstructure:"header"`      // 6-byte header of the cup framing, hex
	TPDU         string        `mapstructure:"tpdu"`        // 5-byte TPDU, hex
	MatchKey     []string      `mapstructure:"match-key"`   // fields by which an answer finds its request
	Connections  int           `mapstructure:"connections"` // long-lived links
	Timeout      time.Duration `mapstructure:"timeout"`     // of a request, counted from before it is queued
	Echo         time.Duration `mapstructure:"echo"`        // idle time before an echo
	EchoTimeout  time.Duration `mapstructure:"echo-timeout"`
	Dial         time.Duration `mapstructure:"dial-timeout"`
	ReconnectMin time.Duration `mapstructure:"reconnect-min"`
	ReconnectMax time.Duration `mapstructure:"reconnect-max"`
	Queue        int           `mapstructure:"queue"`     // requests that wait for a link; one more is unsent at once
	InFlight     int           `mapstructure:"in-flight"` // requests on the wire
	Done         []string      `mapstructure:"reversal-done"`
	Retry        []string      `mapstructure:"reversal-retry"`
	RetryMin     time.Duration `mapstructure:"reversal-retry-min"` // first wait before a reversal is repeated
	RetryMax     time.Duration `mapstructure:"reversal-retry-max"` // the doubling stops here
}

// Routes says which host profile gets a sale.
type Routes struct {
	Default string `mapstructure:"default"` // card sales
	QR      string `mapstructure:"qr"`      // payment codes (DE22 03x); empty: as Default
}

// Engine is what the deciding engine may hold and how the loop feeds it.
type Engine struct {
	Owner        string        `mapstructure:"owner"`         // written into OwnershipTaken; empty: host name and process id
	Queue        int           `mapstructure:"queue"`         // inputs that wait for the engine
	Batch        int           `mapstructure:"batch"`         // inputs decided into one journal append
	ExchangeKeep time.Duration `mapstructure:"exchange-keep"` // how long an answered exchange is remembered, P5 duplicates
}

// Journal is where and how the facts are kept.
type Journal struct {
	Folder    string        `mapstructure:"folder"`
	Limit     Size          `mapstructure:"limit"`      // hard size of the stream
	HighWater int           `mapstructure:"high-water"` // per cent of Limit above which new reserves get 96 and claims 503
	BatchSize Size          `mapstructure:"batch-size"` // longest packed append
	Append    time.Duration `mapstructure:"append-timeout"`
}

// Snapshot is how often the follower writes one. The last two are kept.
type Snapshot struct {
	Folder string        `mapstructure:"folder"`
	Every  time.Duration `mapstructure:"every"`
	Events int           `mapstructure:"events"` // or after so many events, whichever comes first
}

// Database is PostgreSQL: a URL, or a private cluster when URL is empty.
type Database struct {
	URL         string        `mapstructure:"url"`
	Folder      string        `mapstructure:"folder"`
	Binaries    string        `mapstructure:"binaries"`
	Connections int           `mapstructure:"connections"`
	BatchEvents int           `mapstructure:"batch-events"` // events projected in one transaction
	RetryMin    time.Duration `mapstructure:"retry-min"`
	RetryMax    time.Duration `mapstructure:"retry-max"`
}

// Keys is the strict-permission files with the keys of envelopes and keyed hashes.
type Keys struct {
	File string `mapstructure:"file"`
}

// Stop bounds a graceful stop.
type Stop struct {
	Drain time.Duration `mapstructure:"drain"` // wait for requests in flight
}

// InsecureDemo is the only value of Security until line security exists.
const InsecureDemo = "insecure-demo"

// Path puts a relative path below the state folder. An empty path stays empty.
func (c *Config) Path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.State, p)
}
