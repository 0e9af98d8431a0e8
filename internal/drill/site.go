package drill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"huanxin/internal/postgres"
	"huanxin/internal/process"
	"huanxin/internal/scrape"
	"huanxin/internal/simulator/issuer"
	"huanxin/internal/simulator/till"
	"huanxin/internal/simulator/wallet"
)

// Ports are the addresses of one set of programs.
type Ports struct {
	CUP, NAC, HTTP, Host, Wallet string
	Secure, SM                   string // terminals with keys, of 3DES and of SM4; "": none
}

// FreePorts finds ports that nobody uses now.
func FreePorts() (Ports, error) {
	var addresses [7]string
	for i := range addresses {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return Ports{}, fmt.Errorf("find a free port: %w", err)
		}
		// All are held until all are found, so that they differ.
		defer l.Close()
		addresses[i] = l.Addr().String()
	}
	return Ports{addresses[0], addresses[1], addresses[2], addresses[3], addresses[4], addresses[5], addresses[6]}, nil
}

// Site is one folder with its own switch, card network, wallet and database.
type Site struct {
	Dir       string // state of everything
	Programs  string // folder of huanxin and simulator
	Ports     Ports
	Programme string   // name or folder; "" as configured
	Settings  []string // HUANXIN_… of the switch, beside state and addresses
	CutOver   string   // hh:mm:ss, when the network's clearing day ends; "" as configured
	Log       io.Writer
	Wrap      []string // a command that starts the switch: its program and arguments are added
	Keyed     bool     // some terminals speak over lines with keys
	Journal   string   // where the drill reads the journal; "" in the site's folder
	Cluster   string   // URL of the server that has the journal; "" where the folder has it
	Home      string   // state folder of the switch; "" is Dir
	Listen    *Ports   // where the switch listens, when terminals and callers reach it through lines at Ports

	handed []handed // keys that the switch's store does not have yet

	Host, Wallet, Serve *process.Process
}

func (s *Site) program(name string) string { return filepath.Join(s.Programs, name) }

// say writes one line about what is being done.
func (s *Site) say(format string, args ...any) { fmt.Fprintf(s.Log, format+"\n", args...) }

// startLimit bounds the start of a program; a first start makes a database cluster.
const startLimit = 4 * time.Minute

// free makes sure that nobody listens on the addresses: another switch there would answer in place of ours.
func free(addresses ...string) error {
	for _, address := range addresses {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("%s is taken, perhaps by another `make run`: %w", address, err)
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}

// StartHost starts the simulated card network; its ledger is in the site's folder and survives it.
func (s *Site) StartHost(ctx context.Context, args ...string) (err error) {
	if err := free(s.Ports.Host); err != nil {
		return err
	}
	args = append([]string{"host", "--listen", s.Ports.Host, "--ledger", s.ledgerFile()}, args...)
	if s.CutOver != "" {
		args = append(args, "--cut-over", s.CutOver)
	}
	if s.Keyed {
		args = append(args, "--keys", s.file(tillKeys))
	}
	if s.Host, err = process.Start(s.Dir, "host", s.program("simulator"), args, nil); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	return s.Host.Await(ctx, "the card network", func(ctx context.Context) error { return answers(ctx, s.Ports.Host) })
}

// StartWallet starts the simulated wallet; its ledger is in the site's folder and survives it. Whoever comes first, wallet
// or switch, creates the key that both share.
func (s *Site) StartWallet(ctx context.Context, args ...string) (err error) {
	if err := free(s.Ports.Wallet); err != nil {
		return err
	}
	args = append([]string{
		"wallet", "--listen", s.Ports.Wallet, "--ledger", s.walletLedgerFile(), "--key-file", s.file("wallet.key"),
		"--notify", s.base() + "/v1/wallets/wallet/notifications",
	}, args...)
	if s.Wallet, err = process.Start(s.Dir, "wallet", s.program("simulator"), args, nil); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	return s.Wallet.Await(ctx, "the wallet", func(ctx context.Context) error { return answers(ctx, s.Ports.Wallet) })
}

// kill ends a program as a power cut would. It must still have been there: one that has ended by itself, of a panic or an error, is a
// finding that the kill would hide.
func kill(p *process.Process) error {
	p.Kill()
	if err := p.Finish(stopLimit); !killed(err) {
		return fmt.Errorf("%w before it was killed: %s (%v); the end of %s:\n%s", process.ErrEnded, p.Name, err, p.Log(), p.Tail(12))
	}
	return nil
}

// killed reports whether a program was ended by SIGKILL.
func killed(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// gaveUp reports whether a program ended with an error of its own, neither by a signal nor in a panic.
func gaveUp(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() == 1
}

// answers reports whether somebody listens.
func answers(ctx context.Context, address string) error {
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return nc.Close()
}

// StartServe starts the switch and waits until every part of it is ready. Without its wallet it never would be, so that is
// started first where nobody has done so.
func (s *Site) StartServe(ctx context.Context) (err error) {
	if s.Wallet == nil {
		if err := s.StartWallet(ctx); err != nil {
			return err
		}
	}
	if err := s.launch(); err != nil {
		return err
	}
	if err := s.ready(ctx); err != nil {
		return err
	}
	return s.keyTerminals(ctx)
}

// launch starts the switch and waits for nothing.
func (s *Site) launch() (err error) {
	at := s.listens()
	if err := free(at.CUP, at.NAC, at.HTTP, cmp.Or(at.Secure, anyPort), cmp.Or(at.SM, anyPort)); err != nil {
		return err
	}
	command := append(s.Wrap[:len(s.Wrap):len(s.Wrap)], s.program("huanxin"), "serve")
	if s.Programme != "" {
		command = append(command, "--programme", s.Programme)
	}
	s.Serve, err = process.Start(s.Dir, "serve", command[0], command[1:], s.environment())
	return err
}

// listens is where the switch listens.
func (s *Site) listens() Ports { return *cmp.Or(s.Listen, &s.Ports) }

// ready waits until every part of the switch is.
func (s *Site) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	return s.Serve.Await(ctx, "the switch", func(ctx context.Context) error {
		body, err := s.get(ctx, "/readyz")
		if err != nil {
			return fmt.Errorf("%w %s", err, body)
		}
		return nil
	})
}

// anyPort is for listeners that nobody speaks to.
const anyPort = "127.0.0.1:0"

// environment are the settings of the switch. Addresses are set even where they are the defaults.
func (s *Site) environment() []string {
	settings := s.Settings
	if s.CutOver != "" {
		settings = append(settings[:len(settings):len(settings)], "HUANXIN_HOSTS_UNIONPAY_CLEARING_CUT_OFF="+s.CutOver)
	}
	at := s.listens()
	return append([]string{
		"HUANXIN_STATE=" + cmp.Or(s.Home, s.Dir),
		"HUANXIN_LISTENERS_CUP_ADDRESS=" + at.CUP,
		"HUANXIN_LISTENERS_NAC_ADDRESS=" + at.NAC,
		"HUANXIN_LISTENERS_SECURE_ADDRESS=" + cmp.Or(at.Secure, anyPort), "HUANXIN_LISTENERS_SM_ADDRESS=" + cmp.Or(at.SM, anyPort),
		"HUANXIN_HTTP_ADDRESS=" + at.HTTP,
		"HUANXIN_HOSTS_UNIONPAY_ADDRESSES=" + s.Ports.Host,
		"HUANXIN_HOSTS_WALLET_URL=http://" + s.Ports.Wallet,
	}, settings...)
}

// stopLimit is longer than the switch's own limits for draining and stopping its database.
const stopLimit = time.Minute

// Stop ends the switch, then wallet and card network.
func (s *Site) Stop() error {
	var errs []error
	for _, p := range []*process.Process{s.Serve, s.Wallet, s.Host} {
		if p != nil {
			errs = append(errs, p.Stop(stopLimit))
		}
	}
	s.Serve, s.Wallet, s.Host = nil, nil, nil
	return errors.Join(errs...)
}

func (s *Site) ledgerFile() string       { return filepath.Join(s.Dir, "ledger.jsonl") }
func (s *Site) walletLedgerFile() string { return filepath.Join(s.Dir, "wallet-ledger.jsonl") }
func (s *Site) tokenFile() string        { return filepath.Join(s.Dir, "token") }
func (s *Site) databaseDir() string      { return filepath.Join(s.Dir, "postgres") }
func (s *Site) controlSocket() string    { return filepath.Join(cmp.Or(s.Home, s.Dir), "control.sock") }
func (s *Site) base() string             { return "http://" + s.Ports.HTTP }
func (s *Site) file(n string) string     { return filepath.Join(s.Dir, n) }

// journalDir is where the drill finds the journal.
func (s *Site) journalDir() string {
	if s.Journal != "" {
		return s.Journal
	}
	return filepath.Join(s.Dir, "journal")
}

// book reads the journal as it is now.
func (s *Site) book() (*Book, error) {
	if s.Cluster == "" {
		return ReadBook(s.journalDir())
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return ReadClusterBook(ctx, s.Cluster, sampleProgramme)
}

// Token is the bearer token that the switch has created.
func (s *Site) Token() (string, error) {
	text, err := os.ReadFile(s.tokenFile())
	return strings.TrimSpace(string(text)), err
}

// API is the site's claiming interface.
func (s *Site) API() (*till.API, error) {
	token, err := s.Token()
	if err != nil {
		return nil, err
	}
	return till.NewAPI(s.base(), token, 8, 15*time.Second), nil
}

// get reads a page that needs no token. A status that is no success is an error, with the body beside it.
func (s *Site) get(ctx context.Context, path string) (body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base()+path, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	if err == nil && res.StatusCode >= 300 {
		err = fmt.Errorf("%s answered %s", path, res.Status)
	}
	return strings.TrimSpace(string(text)), err
}

// Counter reads one sample of /metrics: its name and all of its labels, as name, value, in alphabetical order. A counter
// that is not there yet is 0.
func (s *Site) Counter(ctx context.Context, name string, labels ...string) (float64, error) {
	page, err := s.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	return scrape.Sample(page, name, labels...)
}

// Ledger reads the card network's own book.
func (s *Site) Ledger() ([]issuer.Line, error) {
	file, err := os.Open(s.ledgerFile())
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	defer file.Close()
	return decodeLines[issuer.Line](file)
}

// WalletLedger reads the wallet's own book; there is none where no wallet was started.
func (s *Site) WalletLedger() ([]wallet.Line, error) {
	file, err := os.Open(s.walletLedgerFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read wallet's ledger: %w", err)
	}
	defer file.Close()
	return decodeLines[wallet.Line](file)
}

// Movements are those of all hosts' ledgers.
func (s *Site) Movements() ([]Movement, error) {
	cards, err := s.Ledger()
	if err != nil {
		return nil, err
	}
	payments, err := s.WalletLedger()
	if err != nil {
		return nil, err
	}
	return append(cardMovements(cards), walletMovements(payments)...), nil
}

// Answers reads what the load generators wrote down, of all their runs.
func (s *Site) Answers(name string) ([]Answer, error) {
	names, err := filepath.Glob(s.file("*-" + name))
	if err != nil {
		return nil, err
	}
	var all []Answer
	for _, name := range names {
		answers, err := readAnswers(name)
		if err != nil {
			return nil, fmt.Errorf("read answers: %w", err)
		}
		all = append(all, answers...)
	}
	return all, nil
}

func readAnswers(name string) ([]Answer, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return decodeLines[Answer](file)
}

// Rows reads all purchases from PostgreSQL.
func Rows(ctx context.Context, db *postgres.Database) ([]Row, error) {
	rows := []Row{}
	var after uint64
	for {
		page, err := db.Purchases(ctx, after, 5000)
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			return rows, nil
		}
		for i := range page {
			p := &page[i]
			rows = append(rows, Row{
				ID: p.ID, State: State(p.State), Subsidy: int64(p.Subsidy), Amount: int64(p.Amount), RRN: p.RRN, Refunded: int64(p.Refunded),
			})
		}
		after = page[len(page)-1].ID
	}
}

// openDatabase opens the private cluster of the switch, which must be running.
func (s *Site) openDatabase(ctx context.Context) (*postgres.Database, error) {
	url, err := postgres.PrivateURL(s.databaseDir())
	if err != nil {
		return nil, err
	}
	return postgres.Open(ctx, postgres.Config{URL: url})
}

// awaitProjection waits until everything that the journal holds now is in PostgreSQL.
func (s *Site) awaitProjection(ctx context.Context, db *postgres.Database) error {
	position, err := s.Counter(ctx, "huanxin_journal_position")
	if err != nil {
		return err
	}
	return s.Serve.Await(ctx, "PostgreSQL to catch up", func(ctx context.Context) error {
		totals, err := db.Totals(ctx)
		if err != nil {
			return err
		}
		if float64(totals.Position.Batch) < position {
			return fmt.Errorf("at batch %d of %.0f", totals.Position.Batch, position)
		}
		return nil
	})
}
