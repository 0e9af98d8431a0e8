//go:build pkcs11

package p11

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/miekg/pkcs11"

	"huanxin/switch/keys/block"
	"huanxin/switch/keys/hsm"
)

// Config is what a module needs.
type Config struct {
	Library  string // path of the token's library
	Token    string // label of the token
	PIN      []byte // of the token's user; from a file or the environment, never from a configuration
	Master   string // label of the two master keys in the token
	Create   bool   // draw the master keys where they are not there
	Sessions int    // calls to the token at the same time; 0 is 8
}

// ErrToken is returned when a token is not there, or has no master keys under their label.
var ErrToken = errors.New("PKCS#11 token")

// Module is the module of one token.
type Module struct {
	ctx      *pkcs11.Ctx
	slot     uint
	name     string
	hardware bool
	can      map[uint]bool // mechanisms
	sessions chan pkcs11.SessionHandle
	home     pkcs11.SessionHandle // owns the session objects: they live as long as it does
	homeTurn chan struct{}        // one call at a time in home

	wrap, code pkcs11.ObjectHandle // the master keys
	id         [4]byte             // of the master keys
}

// required are the mechanisms without which there is no module.
var required = []uint{pkcs11.CKM_AES_KEY_GEN, pkcs11.CKM_AES_ECB, pkcs11.CKM_AES_KEY_WRAP, pkcs11.CKM_AES_CMAC}

// Open opens the token and logs in. Close ends the sessions; the library stays loaded, because another module of this
// process may be using it.
func Open(c Config) (*Module, error) {
	if c.Library == "" || c.Token == "" || c.Master == "" {
		return nil, fmt.Errorf("%w: library, token and the label of the master keys are wanted", ErrToken)
	}
	ctx := pkcs11.New(c.Library)
	if ctx == nil {
		return nil, fmt.Errorf("%w: cannot load the library %s", ErrToken, c.Library)
	}
	if err := ctx.Initialize(); err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
		return nil, fmt.Errorf("%w: initialize %s: %w", ErrToken, c.Library, err)
	}
	if c.Sessions <= 0 {
		c.Sessions = 8
	}
	m := &Module{ctx: ctx, sessions: make(chan pkcs11.SessionHandle, c.Sessions), homeTurn: make(chan struct{}, 1)}
	if err := m.open(c); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

func (m *Module) open(c Config) error {
	if err := m.find(c.Token); err != nil {
		return err
	}
	for _, mechanism := range required {
		if !m.can[mechanism] {
			return fmt.Errorf("%w: %s has not mechanism %#x", ErrToken, m.name, mechanism)
		}
	}
	var err error
	if m.home, err = m.ctx.OpenSession(m.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION); err != nil {
		return fmt.Errorf("%w: open a session: %w", ErrToken, err)
	}
	if err := m.ctx.Login(m.home, pkcs11.CKU_USER, string(c.PIN)); err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_USER_ALREADY_LOGGED_IN)) {
		return fmt.Errorf("%w: log in: %w", ErrToken, err)
	}
	for range cap(m.sessions) {
		s, err := m.ctx.OpenSession(m.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
		if err != nil {
			return fmt.Errorf("%w: open a session: %w", ErrToken, err)
		}
		m.sessions <- s
	}
	if m.wrap, err = m.master(c, " wrap", pkcs11.CKA_WRAP, pkcs11.CKA_UNWRAP); err != nil {
		return err
	}
	if m.code, err = m.master(c, " code", pkcs11.CKA_SIGN, pkcs11.CKA_VERIFY); err != nil {
		return err
	}
	id, err := m.sign(m.code, pkcs11.CKM_AES_CMAC, nil)
	if err != nil {
		return err
	}
	m.id = [4]byte(id)
	return nil
}

// find looks for the token.
func (m *Module) find(label string) error {
	slots, err := m.ctx.GetSlotList(true)
	if err != nil {
		return fmt.Errorf("%w: list slots: %w", ErrToken, err)
	}
	for _, slot := range slots {
		token, err := m.ctx.GetTokenInfo(slot)
		if err != nil || strings.TrimRight(token.Label, " \x00") != label {
			continue
		}
		info, err := m.ctx.GetSlotInfo(slot)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrToken, label, err)
		}
		mechanisms, err := m.ctx.GetMechanismList(slot)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrToken, label, err)
		}
		m.slot, m.can = slot, map[uint]bool{}
		for _, mechanism := range mechanisms {
			m.can[mechanism.Mechanism] = true
		}
		m.name = strings.TrimRight(token.Model, " \x00") + " token " + label
		m.hardware = info.Flags&pkcs11.CKF_HW_SLOT != 0
		return nil
	}
	return fmt.Errorf("%w: there is none with label %q", ErrToken, label)
}

// master finds one of the master keys, or draws it.
func (m *Module) master(c Config, part string, uses ...uint) (pkcs11.ObjectHandle, error) {
	label := c.Master + part
	like := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_LABEL, label),
	}
	if err := m.ctx.FindObjectsInit(m.home, like); err != nil {
		return 0, fmt.Errorf("%w: look for %q: %w", ErrToken, label, err)
	}
	found, _, err := m.ctx.FindObjects(m.home, 2)
	if err := errors.Join(err, m.ctx.FindObjectsFinal(m.home)); err != nil {
		return 0, fmt.Errorf("%w: look for %q: %w", ErrToken, label, err)
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return 0, fmt.Errorf("%w: more than one key is called %q", ErrToken, label)
	case !c.Create:
		return 0, fmt.Errorf("%w: no key is called %q", ErrToken, label)
	}
	like = append(like,
		pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32), pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false))
	for _, use := range []uint{
		pkcs11.CKA_ENCRYPT, pkcs11.CKA_DECRYPT, pkcs11.CKA_SIGN, pkcs11.CKA_VERIFY, pkcs11.CKA_WRAP, pkcs11.CKA_UNWRAP, pkcs11.CKA_DERIVE,
	} {
		like = append(like, pkcs11.NewAttribute(use, slices.Contains(uses, use)))
	}
	key, err := m.ctx.GenerateKey(m.home, mechanism(pkcs11.CKM_AES_KEY_GEN), like)
	if err != nil {
		return 0, fmt.Errorf("%w: draw %q: %w", ErrToken, label, err)
	}
	return key, nil
}

func mechanism(m uint) []*pkcs11.Mechanism {
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(m, nil)}
}

// Close ends the sessions, and with them every key that is not a token's own.
func (m *Module) Close() {
	for range cap(m.sessions) {
		select {
		case s := <-m.sessions:
			_ = m.ctx.CloseSession(s)
		default:
		}
	}
	if m.home != 0 {
		_ = m.ctx.CloseSession(m.home)
	}
}

// Format prints no key.
func (m *Module) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "PKCS#11 module") }

// with runs do in a session of its own. After an error the session is replaced, since an operation that has begun may
// still be going on in it.
func (m *Module) with(do func(pkcs11.SessionHandle) error) error {
	s := <-m.sessions
	err := do(s)
	if err != nil {
		_ = m.ctx.CloseSession(s)
		fresh, failed := m.ctx.OpenSession(m.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
		if failed == nil {
			s = fresh
		}
	}
	m.sessions <- s
	return err
}

// atHome runs do in the session that owns the keys.
func (m *Module) atHome(do func() error) error {
	m.homeTurn <- struct{}{}
	defer func() { <-m.homeTurn }()
	return do()
}

// sign makes a code.
func (m *Module) sign(key pkcs11.ObjectHandle, how uint, data []byte) (code []byte, err error) {
	err = m.with(func(s pkcs11.SessionHandle) error {
		if err := m.ctx.SignInit(s, mechanism(how), key); err != nil {
			return err
		}
		code, err = m.ctx.Sign(s, data)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make a code: %w", err)
	}
	return code, nil
}

// encipher enciphers whole blocks.
func (m *Module) encipher(key pkcs11.ObjectHandle, how uint, iv, data []byte) (out []byte, err error) {
	err = m.with(func(s pkcs11.SessionHandle) error {
		if err := m.ctx.EncryptInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(how, iv)}, key); err != nil {
			return err
		}
		out, err = m.ctx.Encrypt(s, data)
		return err
	})
	if err == nil && len(out) != len(data) {
		err = fmt.Errorf("%d bytes for %d", len(out), len(data))
	}
	if err != nil {
		return nil, fmt.Errorf("encipher: %w", err)
	}
	return out, nil
}

// Capabilities says what the token can do.
func (m *Module) Capabilities() hsm.Capabilities {
	c := hsm.Capabilities{Name: m.name, Hardware: m.hardware, MACs: []hsm.MACAlgorithm{hsm.AESCMAC}, Wraps: []hsm.Wrapping{hsm.WrapAESKW}}
	for _, k := range kinds {
		if m.holds(k.algorithm, k.length) {
			c.Keys = append(c.Keys, hsm.KeyKind{Algorithm: k.algorithm, Length: k.length})
		}
	}
	for _, a := range []hsm.MACAlgorithm{hsm.CUPECB, hsm.TDESCBC, hsm.TDESCMAC} {
		if m.makes(a) {
			c.MACs = append(c.MACs, a)
		}
	}
	return c
}

// kind is one sort of key.
type kind struct {
	algorithm hsm.Algorithm
	length    int
	keyType   uint // CKK
	draw      uint // mechanism that draws it
	ecb       uint // mechanism that enciphers single blocks with it
}

var kinds = []kind{
	{hsm.TDES, 16, pkcs11.CKK_DES2, pkcs11.CKM_DES2_KEY_GEN, pkcs11.CKM_DES3_ECB},
	{hsm.TDES, 24, pkcs11.CKK_DES3, pkcs11.CKM_DES3_KEY_GEN, pkcs11.CKM_DES3_ECB},
	{hsm.AES, 16, pkcs11.CKK_AES, pkcs11.CKM_AES_KEY_GEN, pkcs11.CKM_AES_ECB},
	{hsm.AES, 24, pkcs11.CKK_AES, pkcs11.CKM_AES_KEY_GEN, pkcs11.CKM_AES_ECB},
	{hsm.AES, 32, pkcs11.CKK_AES, pkcs11.CKM_AES_KEY_GEN, pkcs11.CKM_AES_ECB},
}

func kindOf(a hsm.Algorithm, length int) (kind, bool) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.algorithm == a && k.length == length })
	if i < 0 {
		return kind{}, false
	}
	return kinds[i], true
}

func (m *Module) holds(a hsm.Algorithm, length int) bool {
	k, ok := kindOf(a, length)
	return ok && m.can[k.draw] && m.can[k.ecb]
}

// unsupportedKey says what keys of an algorithm would take.
func unsupportedKey(operation string, a hsm.Algorithm) error {
	return hsm.Unsupported(operation+" a "+a.String()+" key", map[hsm.Algorithm]string{
		hsm.DES:  "CKM_DES_KEY_GEN and CKM_DES_ECB, which no approved mode of a certified module has",
		hsm.TDES: "CKM_DES2_KEY_GEN, CKM_DES3_KEY_GEN and CKM_DES3_ECB",
		hsm.AES:  "CKM_AES_KEY_GEN",
		hsm.SM4:  "SDF_ImportKeyWithKEK and SGD_SM4_ECB of GM/T 0018, or a vendor's CKM_SM4_KEY_GEN",
		hsm.HMAC: "CKM_GENERIC_SECRET_KEY_GEN with CKM_SHA256_HMAC; for SM3 SDF_HashInit of GM/T 0018",
	}[a])
}

// wanted is the check that opens Generate, Form and Import.
func (m *Module) wanted(operation string, spec hsm.Spec) (hsm.Spec, kind, error) {
	spec, err := spec.Check()
	if err != nil {
		return spec, kind{}, err
	}
	k, ok := kindOf(spec.Algorithm, spec.Length)
	if !ok || !m.holds(spec.Algorithm, spec.Length) {
		return spec, k, unsupportedKey(operation, spec.Algorithm)
	}
	return spec, k, nil
}

// Generate draws a key inside the token.
func (m *Module) Generate(spec hsm.Spec) (hsm.Key, []byte, error) {
	spec, kind, err := m.wanted("generate", spec)
	if err != nil {
		return nil, nil, err
	}
	attributes := template(spec, kind)
	if kind.algorithm == hsm.AES { // the length of a DES key is in its type
		attributes = append(attributes, pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, kind.length))
	}
	var handle pkcs11.ObjectHandle
	err = m.atHome(func() (err error) {
		handle, err = m.ctx.GenerateKey(m.home, mechanism(kind.draw), attributes)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("generate a %s: %w", spec.Purpose, err)
	}
	return m.take(spec, kind, handle, nil)
}

// Form makes a key of components, which are XOR-ed in the memory of this process: PKCS#11 has no mechanism that takes
// components one by one. Where that is not good enough the ceremony belongs on the module's own console.
func (m *Module) Form(spec hsm.Spec, components ...[]byte) (hsm.Key, []byte, error) {
	if len(components) > 0 && spec.Length == 0 {
		spec.Length = len(components[0])
	}
	spec, kind, err := m.wanted("form", spec)
	if err != nil {
		return nil, nil, err
	}
	secret, err := spec.Combine(components)
	if err != nil {
		return nil, nil, err
	}
	defer clear(secret)
	family := block.AES
	if spec.Algorithm == hsm.TDES {
		family = block.DES
	}
	if why := block.Weak(family, secret); why != "" {
		return nil, nil, fmt.Errorf("%w: %s", hsm.ErrWeak, why)
	}
	if family == block.DES {
		block.SetOddParity(secret) // some tokens refuse others
	}
	var handle pkcs11.ObjectHandle
	err = m.atHome(func() (err error) {
		handle, err = m.ctx.CreateObject(m.home, append(template(spec, kind), pkcs11.NewAttribute(pkcs11.CKA_VALUE, secret)))
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("form a %s: %w", spec.Purpose, err)
	}
	return m.take(spec, kind, handle, nil)
}
