package config

import "time"

// Defaults is the configuration of a process that is given an empty file: one machine, loopback only.
func Defaults() Config {
	cup, nac := DefaultListener(), DefaultListener()
	cup.Address, cup.Framing = "127.0.0.1:7001", "cup"
	nac.Address, nac.Framing = "127.0.0.1:7002", "nac"
	secure, sm := DefaultListener(), DefaultListener()
	secure.Address, secure.Framing, secure.Security, secure.Keys.Group = "127.0.0.1:7003", "cup", WithKeys, "demo"
	sm.Address, sm.Framing, sm.Security, sm.Dialect = "127.0.0.1:7004", "cup", WithKeys, "cup-sm4"
	sm.Keys.Cipher, sm.Keys.Group = "sm4", "demo-sm4"
	unionpay := DefaultHost()
	unionpay.Addresses = []string{"127.0.0.1:7101"}
	wallet := DefaultWallet()
	wallet.URL, wallet.KeyFile = "http://127.0.0.1:7102", "wallet.key"

	return Config{
		Programme: "liaoning-2025",
		State:     "var",
		Log:       Log{Level: "info", Format: "console"},
		Listeners: map[string]Listener{"cup": cup, "nac": nac, "secure": secure, "sm": sm},
		Terminal:  Terminal{AnswerTimeout: 30 * time.Second, Pending: 16384},
		HTTP: HTTP{
			Address: "127.0.0.1:8080", TLS: defaultTLS(), TokenFile: "token",
			AnswerTimeout: 5 * time.Second, BodyLimit: 16 << 10, Pending: 16384, Connections: 2048,
		},
		Limits: Limits{
			Exempt: []string{"127.0.0.0/8", "::1/128"}, Keys: 65536,
			SourceConnections: 1024, SourceConnects: 200, SourceRate: 1000, TerminalRate: 20,
			HTTPConnections: 1024, HTTPRate: 20_000, CallerRate: 20_000, BurstSeconds: 5,
		},
		Hosts:  map[string]Host{"unionpay": unionpay, "wallet": wallet},
		Routes: Routes{Default: "unionpay", QR: "wallet"},
		Engine: Engine{
			Queue: 16384, Batch: 1024, Waiting: 8,
			Admission: Admission{Target: 100 * time.Millisecond, Interval: 500 * time.Millisecond, Payments: 2 * time.Second},
		},
		Journal: Journal{
			Folder: "journal", Replicas: 1, HighWater: 64 << 30, MinFree: 256 << 20, AppendTimeout: 10 * time.Second,
		},
		Snapshot: Snapshot{Every: 5 * time.Minute, Events: 1_000_000},
		Database: Database{
			Enabled: true, Folder: "postgres", Connections: 4, BatchEvents: 20_000,
			RetryMin: 200 * time.Millisecond, RetryMax: 10 * time.Second, WriteTimeout: time.Minute,
		},
		Keys:    Keys{File: "keys/keys.yaml", LMKFile: "keys/lmk"},
		Control: Control{Socket: "control.sock", AnswerTimeout: 10 * time.Second, Pending: 64},
		Stop:    Stop{Drain: 20 * time.Second},
		Memory:  Memory{Garbage: 400},
	}
}

func defaultTLS() TLS {
	return TLS{Minimum: "1.2", Ciphers: []string{}, Required: true, Identity: "uri"}
}

func defaultLinkTLS() LinkTLS { return LinkTLS{Minimum: "1.2", Ciphers: []string{}} }

// DefaultListener is what an entry of `listeners` starts from. Address and Framing have no default.
func DefaultListener() Listener {
	return Listener{
		Dialect: "cup", TPDU: "swap", TLS: defaultTLS(), Security: InsecureDemo,
		Keys: TerminalKeys{
			Cipher: "3des", Form: "standard", MAC: "cup-ecb", Settlement: "proved", Upload: "proved", Report: "proved", SignOff: "proved",
			PINFormats: []string{}, Overlap: 10 * time.Minute, Age: 24 * time.Hour,
		},
		Connections: 4096, InFlight: 64, FrameLimit: 8 << 10,
		FrameTimeout: 10 * time.Second, IdleTimeout: 5 * time.Minute, WriteTimeout: 10 * time.Second,
		Positions: "GCJ-02",
	}
}

// DefaultHost is what an entry of `hosts` starts from. Addresses has no default.
func DefaultHost() Host {
	return Host{
		Kind: CardHost, TLS: defaultLinkTLS(), Framing: "cup", Dialect: "cup", TPDU: "6000030000", Header: "603100310100", SignOn: true,
		MatchKey: []int{37}, Acquirer: "48022100",
		Connections: 1, Timeout: 15 * time.Second,
		Echo: 30 * time.Second, EchoTimeout: 10 * time.Second,
		DialTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second,
		ReconnectMin: 200 * time.Millisecond, ReconnectMax: 30 * time.Second,
		Queue: 4096, InFlight: 4096, Remember: 65536, FrameLimit: 8 << 10,
		Done: []string{"00", "12", "25"}, Retry: []string{"91", "92", "96", "98"},
		RetryMin: 5 * time.Second, RetryMax: 5 * time.Minute, WorkItem: []string{},
		CutOff: TimeOfDay(23 * time.Hour), LeastLife: time.Minute,
	}
}

// DefaultWallet is what an entry of `hosts` with `kind: wallet` starts from. URL and KeyFile have no default.
func DefaultWallet() Host {
	return Host{
		Kind: WalletHost, TLS: defaultLinkTLS(), Connections: 32, Timeout: 15 * time.Second, Echo: 30 * time.Second, DialTimeout: 5 * time.Second,
		ReconnectMin: 200 * time.Millisecond, ReconnectMax: 30 * time.Second, Queue: 4096,
		RetryMin: 5 * time.Second, RetryMax: 5 * time.Minute, CutOff: wholeDay, LeastLife: time.Minute,
		AttemptTimeout: 10 * time.Second, QueryEvery: 4 * time.Second, CancelAfter: time.Minute,
	}
}
