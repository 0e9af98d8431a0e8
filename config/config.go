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
	Limits    Limits              `mapstructure:"limits"`
	Engine    Engine              `mapstructure:"engine"`
	Journal   Journal             `mapstructure:"journal"`
	Snapshot  Snapshot            `mapstructure:"snapshot"`
	Database  Database            `mapstructure:"database"`
	Keys      Keys                `mapstructure:"keys"`
	Control   Control             `mapstructure:"control"`
	Stop      Stop                `mapstructure:"stop"`
	Memory    Memory              `mapstructure:"memory"`
	Debug     Debug               `mapstructure:"debug"`
	Drill     Drill               `mapstructure:"drill"`
}

// Log is how much is written to standard error, and in which form.
type Log struct {
	Level  string `mapstructure:"level"`  // debug, info, warn, error
	Format string `mapstructure:"format"` // console, json
}

// Listener is one port for terminals.
type Listener struct {
	Address      string        `mapstructure:"address"`  // host:port; port 0 lets the system choose
	Framing      string        `mapstructure:"framing"`  // cup, nac, ncc, ascii4, raw2, raw4
	Dialect      string        `mapstructure:"dialect"`  // a name of config/dialects or a path to a JSON file
	TPDU         string        `mapstructure:"tpdu"`     // swap, unchanged
	Security     string        `mapstructure:"security"` // insecure-demo, keys
	Keys         TerminalKeys  `mapstructure:"keys"`     // with keys
	TLS          TLS           `mapstructure:"tls"`
	Connections  int           `mapstructure:"connections"`   // at once; one more is closed at once
	InFlight     int           `mapstructure:"in-flight"`     // requests of one connection; more pause its reading
	FrameLimit   Size          `mapstructure:"frame-limit"`   // longest frame
	FrameTimeout time.Duration `mapstructure:"frame-timeout"` // from the first byte of a frame to its last
	IdleTimeout  time.Duration `mapstructure:"idle-timeout"`  // without any frame
	WriteTimeout time.Duration `mapstructure:"write-timeout"` // for one write
	Positions    string        `mapstructure:"positions"`     // coordinates of DE58: WGS-84, GCJ-02, BD-09
}

// TerminalKeys is how the messages of a listener are secured, and what a sign-on delivers.
type TerminalKeys struct {
	Cipher     string        `mapstructure:"cipher"`      // des, 3des, sm4
	Length     int           `mapstructure:"length"`      // bytes of a PIN or data key; 0 = by the cipher
	MACLength  int           `mapstructure:"mac-length"`  // bytes of a MAC key; 0 = as length
	Form       string        `mapstructure:"form"`        // of DE62: standard, compact
	Group      string        `mapstructure:"group"`       // whose master key a terminal has that has none of its own
	MAC        string        `mapstructure:"mac"`         // algorithm of DE64
	Settlement string        `mapstructure:"settlement"`  // proof: mac, proved, unproved
	Upload     string        `mapstructure:"upload"`      // the same
	Report     string        `mapstructure:"report"`      // the same
	SignOff    string        `mapstructure:"sign-off"`    // the same
	PINFormats []string      `mapstructure:"pin-formats"` // first digit of DE53=format; empty: by the cipher
	Overlap    time.Duration `mapstructure:"overlap"`     // how long former keys are accepted
	Age        time.Duration `mapstructure:"age"`         // of keys, when a terminal is asked to sign on
}

// TLS is the security of a listening port, by PEM files. Without a certificate: plain TCP.
type TLS struct {
	Certificate string   `mapstructure:"certificate"`
	Key         string   `mapstructure:"key"`
	Minimum     string   `mapstructure:"minimum"` // 1.2, 1.3
	Ciphers     []string `mapstructure:"ciphers"` // of 1.2; empty: those with forward secrecy and authenticated encryption
	ClientCA    string   `mapstructure:"client-ca"`
	Required    bool     `mapstructure:"client-required"`
	Identity    string   `mapstructure:"client-identity"` // uri, dns, cn
	Bindings    string   `mapstructure:"client-bindings"` // file: identity, and whom it may speak for
}

// LinkTLS is the security of a link that the switch dials.
type LinkTLS struct {
	Enabled     bool     `mapstructure:"enabled"`     // of a card network; a wallet's URL says it
	CA          string   `mapstructure:"ca"`          // empty: the system's authorities
	ServerName  string   `mapstructure:"server-name"` // empty: the host that is dialled
	Certificate string   `mapstructure:"certificate"` // our own, for a peer that asks for one
	Key         string   `mapstructure:"key"`
	Minimum     string   `mapstructure:"minimum"`
	Ciphers     []string `mapstructure:"ciphers"`
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
	Address       string        `mapstructure:"address"`
	TLS           TLS           `mapstructure:"tls"`
	TokenFile     string        `mapstructure:"token-file"`
	AnswerTimeout time.Duration `mapstructure:"answer-timeout"` // for the engine's answer; then 504
	BodyLimit     Size          `mapstructure:"body-limit"`
	Pending       int           `mapstructure:"pending"`
	Connections   int           `mapstructure:"connections"` // at once; one more waits to be accepted
}

// Host is one profile of a card network or wallet. Kind says which settings it has; those of the other kind are empty.
type Host struct {
	Kind string `mapstructure:"kind"` // card, wallet

	// Card networks and wallets.
	TLS          LinkTLS       `mapstructure:"tls"`
	Connections  int           `mapstructure:"connections"`
	Timeout      time.Duration `mapstructure:"timeout"` // of a sale, counted from the decision
	Echo         time.Duration `mapstructure:"echo"`    // idle time before an echo; between two probes of a wallet
	DialTimeout  time.Duration `mapstructure:"dial-timeout"`
	ReconnectMin time.Duration `mapstructure:"reconnect-min"`
	ReconnectMax time.Duration `mapstructure:"reconnect-max"`
	Queue        int           `mapstructure:"queue"`              // requests that wait for a connection; one more is unsent at once
	RetryMin     time.Duration `mapstructure:"reversal-retry-min"` // first wait before a reversal is repeated
	RetryMax     time.Duration `mapstructure:"reversal-retry-max"` // the doubling stops here
	CutOff       TimeOfDay     `mapstructure:"clearing-cut-off"`   // end of the network's clearing day
	LeastLife    time.Duration `mapstructure:"reversal-least-life"`

	// Card networks.
	Addresses    []string      `mapstructure:"addresses"` // tried in turn
	Framing      string        `mapstructure:"framing"`
	Dialect      string        `mapstructure:"dialect"`
	TPDU         string        `mapstructure:"tpdu"`        // 5 bytes, hex
	Header       string        `mapstructure:"header"`      // 6-byte header of the cup framing, hex
	SignOn       bool          `mapstructure:"sign-on"`     // 0800 before the first request
	Management   string        `mapstructure:"management"`  // de60, de70, "" = by the dialect
	Original     string        `mapstructure:"original"`    // de61, de90, "" = by the dialect
	MatchKey     []int         `mapstructure:"match-key"`   // fields by which an answer finds its request
	MAC          string        `mapstructure:"mac"`         // algorithm of requests' and answers' MACs, "" = none
	PIN          string        `mapstructure:"pin"`         // format of PIN blocks, "" = the host takes none
	PINControl   string        `mapstructure:"pin-control"` // DE53 of a message with a PIN, "" = by the key's cipher
	PINCapture   string        `mapstructure:"pin-capture"` // DE26 of a message with a PIN, "" = by the key's cipher
	Acquirer     string        `mapstructure:"acquirer"`    // DE32 towards this host
	Forwarder    string        `mapstructure:"forwarder"`   // DE33
	EchoTimeout  time.Duration `mapstructure:"echo-timeout"`
	WriteTimeout time.Duration `mapstructure:"write-timeout"`
	InFlight     int           `mapstructure:"in-flight"` // requests on the wire, all connections together
	Remember     int           `mapstructure:"remember"`  // requests whose late answers are still recognised
	FrameLimit   Size          `mapstructure:"frame-limit"`
	Done         []string      `mapstructure:"reversal-done"`
	Retry        []string      `mapstructure:"reversal-retry"`
	WorkItem     []string      `mapstructure:"reversal-work-item"` // codes for a person; every code in no list is one too

	// Wallets.
	URL            string        `mapstructure:"url"`
	KeyFile        string        `mapstructure:"key-file"`        // of the secret that signs both ways
	AttemptTimeout time.Duration `mapstructure:"attempt-timeout"` // of one HTTP request
	QueryEvery     time.Duration `mapstructure:"query-every"`     // while a payment has no end
	CancelAfter    time.Duration `mapstructure:"cancel-after"`    // from the payment to its cancellation
}

// Kinds of a host.
const (
	CardHost   = "card"
	WalletHost = "wallet"
)

// Limits are what one sender may have. Rates are a second; 0 is no limit.
type Limits struct {
	Exempt []string `mapstructure:"exempt"` // addresses and networks without limits
	Keys   int      `mapstructure:"keys"`   // senders that are told apart

	SourceConnections int `mapstructure:"source-connections"` // of an address, over all listeners
	SourceConnects    int `mapstructure:"source-connects"`    // new ones
	SourceRate        int `mapstructure:"source-rate"`        // messages
	TerminalRate      int `mapstructure:"terminal-rate"`      // messages of one terminal behind it

	HTTPConnections int `mapstructure:"http-connections"` // of an address
	HTTPRate        int `mapstructure:"http-rate"`        // requests of an address
	CallerRate      int `mapstructure:"caller-rate"`      // requests of a token
	// BurstSeconds is how many seconds of a rate may come at once.
	BurstSeconds int `mapstructure:"burst-seconds"`
}

// Routes says which host profile gets a sale.
type Routes struct {
	Default string `mapstructure:"default"` // card sales
	QR      string `mapstructure:"qr"`      // payment codes (DE22 03x); empty: as Default
}

// Engine is what the deciding engine may hold and how the loop feeds it.
type Engine struct {
	Owner   string `mapstructure:"owner"`   // written into OwnershipTaken; empty: host name and process id
	Queue   int    `mapstructure:"queue"`   // inputs that wait for the engine
	Batch   int    `mapstructure:"batch"`   // inputs decided into one journal append
	Waiting int    `mapstructure:"waiting"` // resends that may wait for the answer of one request

	Admission Admission `mapstructure:"admission"`
}

// Admission is how long requests may wait to be decided.
type Admission struct {
	Target   time.Duration `mapstructure:"target"`   // something new, in an overload
	Interval time.Duration `mapstructure:"interval"` // something new, otherwise; a burst that lasts so long is an overload
	Payments time.Duration `mapstructure:"payments"` // a payment that has not begun
}

// Journal is where and how the facts are kept.
type Journal struct {
	Folder        string        `mapstructure:"folder"`
	URL           string        `mapstructure:"url"` // of an external NATS cluster; empty: the folder
	Replicas      int           `mapstructure:"replicas"`
	HighWater     Size          `mapstructure:"high-water"` // above it new reserves get 96 and claims 503
	MinFree       Size          `mapstructure:"min-free"`   // the same below this free space
	AppendTimeout time.Duration `mapstructure:"append-timeout"`
	New           bool          `mapstructure:"new"` // a new one may be begun with keys that are older
}

// Snapshot is how often the follower writes one. The last two are kept.
type Snapshot struct {
	Every  time.Duration `mapstructure:"every"`
	Events int           `mapstructure:"events"` // or after so many events, whichever comes first
}

// Database is PostgreSQL: a URL, or a private cluster when URL is empty; or none at all.
type Database struct {
	Enabled     bool          `mapstructure:"enabled"` // without it nothing is projected and no server is started
	URL         string        `mapstructure:"url"`
	Folder      string        `mapstructure:"folder"`
	Binaries    string        `mapstructure:"binaries"`
	Connections int           `mapstructure:"connections"`
	BatchEvents int           `mapstructure:"batch-events"` // events projected in one transaction at most
	RetryMin    time.Duration `mapstructure:"retry-min"`
	RetryMax    time.Duration `mapstructure:"retry-max"`
	// WriteTimeout bounds one transaction of the projection: what takes longer is given up and begun anew.
	WriteTimeout time.Duration `mapstructure:"write-timeout"`
}

// Keys is the store of wrapped keys. The local master key itself is never a setting: it is in a file of strict permissions,
// or in the environment as HUANXIN_LMK.
type Keys struct {
	File     string `mapstructure:"file"`
	LMKFile  string `mapstructure:"lmk-file"` // not read when the environment has the key
	National bool   `mapstructure:"national"` // for keys that are made: SM4 and SM3
	Restored bool   `mapstructure:"restored"` // go on with a store that is older than the journal has seen
}

// Stop bounds a graceful stop.
type Stop struct {
	Drain time.Duration `mapstructure:"drain"` // wait for requests in flight
}

// Control is the local socket of the operator's commands.
type Control struct {
	Socket        string        `mapstructure:"socket"`
	AnswerTimeout time.Duration `mapstructure:"answer-timeout"` // for the engine's answer to one request
	Pending       int           `mapstructure:"pending"`        // requests that may wait for it
}

// Memory is how the collector trades processor time for memory.
type Memory struct {
	Limit   Size `mapstructure:"limit"`   // of the whole process, soft; 0 = three quarters of the machine's
	Garbage int  `mapstructure:"garbage"` // percent of what lives that may be garbage before it is collected
}

// Debug is for whoever looks for where time and memory go.
type Debug struct {
	Address string `mapstructure:"address"` // of the profiler; loopback always; empty = none
}

// Drill is for drills only: how a test makes this process fail.
type Drill struct {
	FewDescriptors bool `mapstructure:"few-descriptors"` // serve with less than the connections may need

	CrashAt string `mapstructure:"crash-at"` // "appended VoidSent 3", "snapshot-named 1"; empty = never
}

// Values of Listener.Security.
const (
	InsecureDemo = "insecure-demo"
	WithKeys     = "keys"
)

// Path puts a relative path below the state folder. An empty path stays empty.
func (c *Config) Path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.State, p)
}
