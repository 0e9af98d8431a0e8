package terminal

import (
	"fmt"
	"strings"
	"time"

	"huanxin/switch/iso8583"
	"huanxin/switch/keys/hsm"
)

// Line is how the messages of one port are secured: which keys a sign-on delivers and in which form, what carries a MAC, and
// which PIN blocks are taken.
type Line struct {
	// Cipher is that of the terminals' keys, master keys included: hsm.DES, hsm.TDES or hsm.SM4.
	Cipher hsm.Algorithm
	// KeyLength is that of PIN key and data key in bytes, and MACKeyLength that of the MAC key: 8 for DES, 16 or 24 for 3DES,
	// 16 for SM4. A MAC key of 8 bytes beside keys of 3DES is a single one, for DES. Default: the cipher's.
	KeyLength, MACKeyLength int
	// Group is whose master key a terminal has that has none of its own; "" = none.
	Group string
	// Compact delivers keys with check values of 3 bytes, always three of them, as some makers have it (57 bytes of DE62).
	Compact bool
	// MAC is the algorithm of DE64. Default hsm.CUPECB.
	MAC hsm.MACAlgorithm
	// Settlement (0500), Upload (0320), Report (0620, 0820 and 0320 of other codes) and SignOff say how a message that moves no
	// money proves who has sent it. Default Proved. Everything of 0100, 0200, 0220 and 0400 carries a MAC, always.
	Settlement, Upload, Report, SignOff Proof
	// PINFormats are the formats of PIN blocks by the first digit of DE53. Default: 2, with the card number.
	PINFormats map[byte]hsm.PINFormat
	// Overlap is how long the keys before are accepted after the first good MAC under new ones. Default 10 min.
	Overlap time.Duration
	// KeyAge is how old keys are when answers begin to ask the terminal to sign on again. Default 24 h.
	KeyAge time.Duration

	keys uint32 // see kind
}

// Proof is how the sender of a message is known.
type Proof uint8

const (
	// Proved: by a MAC, or by the connection: a new message of the same terminal with a good MAC came over it before, or its
	// certificate names the terminal.
	Proved Proof = iota
	// ByMAC: by a MAC in the message itself.
	ByMAC
	// Unproved: not at all. Whoever knows the numbers of a terminal can send such a message in its name.
	Unproved
)

var proofNames = [...]string{"proved", "mac", "unproved"}

func (p Proof) String() string { return proofNames[p] }

// ParseProof is the proof of that name.
func ParseProof(name string) (Proof, error) {
	for p, n := range proofNames {
		if n == name {
			return Proof(p), nil
		}
	}
	return 0, fmt.Errorf("%q: want %s", name, strings.Join(proofNames[:], ", "))
}

// desKey is the length of a single DES key.
const desKey = 8

// withDefaults fills what is zero and checks the rest against the port's dialect.
func (l Line) withDefaults(c *iso8583.Codec) (Line, error) {
	if l.KeyLength == 0 {
		l.KeyLength = l.Cipher.DefaultLength()
	}
	if l.MACKeyLength == 0 {
		l.MACKeyLength = l.KeyLength
	}
	if l.MAC == 0 {
		l.MAC = hsm.CUPECB
	}
	if l.PINFormats == nil {
		l.PINFormats = map[byte]hsm.PINFormat{'2': l.withNumber()}
	}
	if l.Overlap == 0 {
		l.Overlap = 10 * time.Minute
	}
	if l.KeyAge == 0 {
		l.KeyAge = 24 * time.Hour
	}
	l.keys = l.kind()
	switch {
	case l.Cipher != hsm.DES && l.Cipher != hsm.TDES && l.Cipher != hsm.SM4:
		return l, fmt.Errorf("cipher %s: want des, 3des or sm4", l.Cipher)
	case !l.Cipher.ValidLength(l.KeyLength) || l.KeyLength > 24:
		return l, fmt.Errorf("%s has no working keys of %d bytes", l.Cipher, l.KeyLength)
	case l.MACKeyLength > l.KeyLength || !l.macCipher().ValidLength(l.MACKeyLength):
		return l, fmt.Errorf("%s has no MAC keys of %d bytes beside keys of %d", l.Cipher, l.MACKeyLength, l.KeyLength)
	case !l.MAC.Takes(hsm.Info{Purpose: hsm.MAK, Algorithm: l.macCipher(), Length: l.MACKeyLength}):
		return l, fmt.Errorf("a %s key of %d bytes makes no %s", l.macCipher(), l.MACKeyLength, l.MAC)
	case l.Compact && (l.KeyLength != 16 || l.MACKeyLength != 16):
		return l, fmt.Errorf("the compact form holds keys of 16 bytes")
	case l.Overlap < 0 || l.KeyAge < 0:
		return l, fmt.Errorf("overlap or key age is negative")
	case !c.Defines(macField) || c.WireSize(macField) == 0 || !c.Defines(52) || !c.Defines(53) || !c.Defines(62):
		return l, fmt.Errorf("dialect %s lacks field 52, 53, 62 or 64", c.Name())
	}
	for digit, format := range l.PINFormats {
		switch {
		case digit < '1' || digit > '9' || !format.Valid():
			return l, fmt.Errorf("PIN format %q is none of DE53", digit)
		case !under(format, l.Cipher):
			return l, fmt.Errorf("PIN format %s is not under %s", format, l.Cipher)
		case c.WireSize(52) != format.Size()*c.WireSize(macField)/macSize: // binary, or as hexadecimal text
			return l, fmt.Errorf("PIN format %s has %d bytes, which field 52 of dialect %s does not hold", format, format.Size(), c.Name())
		}
	}
	return l, nil
}

// withNumber is the format of a PIN block with the card number in it (ISO 9564-1 format 0).
func (l *Line) withNumber() hsm.PINFormat {
	if l.Cipher == hsm.SM4 {
		return hsm.ISO0SM4
	}
	return hsm.ISO0
}

// under tells whether terminals encipher PIN blocks of a format with a cipher.
func under(f hsm.PINFormat, cipher hsm.Algorithm) bool {
	if cipher == hsm.SM4 {
		return f == hsm.ISO4 || f == hsm.ISO0SM4
	}
	return f != hsm.ISO4 && f != hsm.ISO0SM4
}

// macCipher is that of the MAC key.
func (l *Line) macCipher() hsm.Algorithm {
	if l.Cipher == hsm.TDES && l.MACKeyLength == desKey {
		return hsm.DES
	}
	return l.Cipher
}

// proof is what a message of a kind must prove its sender with.
func (l *Line) proof(k kind) Proof {
	switch k {
	case kindSignOn, kindEcho:
		return Unproved
	case kindSettlement:
		return l.Settlement
	case kindUpload, kindUploadEnd:
		return l.Upload
	case kindReport:
		return l.Report
	case kindSignOff:
		return l.SignOff
	}
	return ByMAC
}

// algorithmDigit is the second digit of DE53: the cipher of the PIN block (pos-dialect §2).
func (l *Line) algorithmDigit() byte {
	switch l.Cipher {
	case hsm.DES:
		return '0'
	case hsm.SM4:
		return '3'
	}
	return '6'
}
