package tr31

import (
	"fmt"
	"strings"
)

// Header is what a key block says in clear about its key. It is believed only after Unwrap, or on the way into Wrap.
//
//	0        1          5        7           8      9          11              12       14        15        16
//	+--------+----------+--------+-----------+------+----------+---------------+--------+---------+---------+
//	|version | length   | usage  | algorithm | mode | key      | exportability | blocks | context | 0       |
//	|        | decimal  |        |           |      | version  |               | decimal|         |         |
//	+--------+----------+--------+-----------+------+----------+---------------+--------+---------+---------+
//	optional blocks: id 2 | length 2, hexadecimal, of the whole block | data
//	                 id 2 | 00 | 04 | length 4, hexadecimal, of the whole block | data, where it is longer than 255
//	enciphered: length of the key in bits 2 bytes | key | random up to whole cipher blocks, in hexadecimal
//	MAC in hexadecimal: 8 bytes for version B, 16 for version D
type Header struct {
	Version       Version
	Usage         string // two characters: "P0" PIN, "M3" MAC, "K0" key encryption, "K1" key block protection …
	Algorithm     byte   // of the key: 'T' 3DES, 'D' DES, 'A' AES, 'H' HMAC, 'R' RSA, 'S' DSA, 'E' elliptic curve
	Mode          byte   // 'E' encrypt, 'D' decrypt, 'B' both, 'G' generate, 'V' verify, 'C' both, 'X' derive, 'N' any …
	KeyVersion    string // two characters; "" is "00", no version
	Exportability byte   // 'E' under a trusted key, 'S' under any, 'N' never
	Context       byte   // '0' any, '1' storage, '2' exchange (X9.143); 0 is '0'
	Blocks        []OptionalBlock
}

// OptionalBlock says more of a key: "KS" its serial number, "KC" its check value, "TS" when it was made, "LB" a label …
// "PB" blocks fill and are made by Wrap; Unwrap leaves them out.
type OptionalBlock struct {
	ID   string // two letters or digits
	Data string // printable ASCII
}

// Version says how a block is protected.
type Version byte

// The versions that this package reads and writes.
const (
	B Version = 'B' // under 3DES, keys derived with CMAC: ANSI X9.143, TR-31:2010 and later
	D Version = 'D' // under AES, keys derived with CMAC: ANSI X9.143, TR-31:2018, ISO 20038
)

const (
	headerSize  = 16
	maxBlocks   = 99
	shortHeader = 4      // of an optional block: id and length
	longHeader  = 10     // of one longer than 255
	maxOptional = 0xFFFF // what its length can say
	paddingID   = "PB"
)

// cipherSize is the length in bytes of a cipher's block, in whole ones of which everything comes.
func (v Version) cipherSize() int {
	if v == D {
		return 16
	}
	return 8
}

// macSize is the length in bytes of the code at the end: a whole cipher block.
func (v Version) macSize() int { return v.cipherSize() }

// check says what is wrong with a version.
func (v Version) check() error {
	switch {
	case v == B || v == D:
		return nil
	case v == 'A' || v == 'C':
		return fmt.Errorf("%w %c: key variants under 3DES, which TR-31 itself has given up; want B or D", ErrVersion, v)
	case v == 'E':
		return fmt.Errorf("%w E: AES-CTR of ISO 20038; want B or D", ErrVersion)
	case v >= '0' && v <= '9':
		return fmt.Errorf("%w %c: a vendor's own; want B or D", ErrVersion, v)
	}
	return fmt.Errorf("%w: want B or D", ErrVersion)
}

// check says what is wrong with the fixed fields. The values are those of X9.143 §6.3; digits are vendors' own.
func (h *Header) check() error {
	if err := h.Version.check(); err != nil {
		return err
	}
	switch {
	case len(h.Usage) != 2 || !isUpperOrDigit(h.Usage):
		return malformed("key usage: want two capital letters or digits")
	case !oneOf(h.Algorithm, "ADEHRST"):
		return malformed("algorithm: want one of A D E H R S T, or a digit")
	case !oneOf(h.Mode, "BCDEGNSTVXY"):
		return malformed("mode of use: want one of B C D E G N S T V X Y, or a digit")
	case len(h.KeyVersion) != 2 || !isAlphanumeric(h.KeyVersion):
		return malformed("key version: want two letters or digits")
	case !oneOf(h.Exportability, "ENS"):
		return malformed("exportability: want one of E N S, or a digit")
	case h.Context < '0' || h.Context > '2':
		return malformed("key context: want 0, 1 or 2")
	}
	return nil
}

func oneOf(c byte, letters string) bool {
	return c >= '0' && c <= '9' || c != 0 && strings.IndexByte(letters, c) >= 0
}

func isUpperOrDigit(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return (r < '0' || r > '9') && (r < 'A' || r > 'Z') })
}

func isAlphanumeric(text string) bool {
	return isUpperOrDigit(strings.ToUpper(text)) && isPrintable(text)
}

func isPrintable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}

// keyFits says whether the algorithm has keys of n bytes, where that is known. An initialisation vector (usage I0) and a
// component (key version c.) are as long as they are.
func (h *Header) keyFits(n int) error {
	if h.Usage == "I0" || h.KeyVersion[0] == 'c' {
		return nil
	}
	good := true
	switch h.Algorithm {
	case 'T': // also of one DES key, which some modules file under T
		good = n == 8 || n == 16 || n == 24
	case 'D':
		good = n == 8
	case 'A':
		good = n == 16 || n == 24 || n == 32
	}
	if !good {
		return fmt.Errorf("%w: algorithm %c has no keys of %d bytes", ErrKeyLength, h.Algorithm, n)
	}
	return nil
}

// parseHeader reads the header of a whole block, as far as is needed to find what comes behind it. at is where that is.
// Nothing of it is to be believed yet.
func parseHeader(text string) (h Header, at int, err error) {
	if text == "" {
		return h, 0, malformed("it is empty")
	}
	h.Version = Version(text[0])
	if err := h.Version.check(); err != nil {
		return h, 0, err
	}
	if len(text) < headerSize {
		return h, 0, malformed("%d characters, a header has %d", len(text), headerSize)
	}
	if !isPrintable(text) {
		return h, 0, malformed("a character that is not printable ASCII")
	}
	length, ok := decimal(text[1:5])
	if !ok {
		return h, 0, malformed("length: want four digits")
	}
	if length != len(text) {
		return h, 0, malformed("length: it says %d, there are %d characters", length, len(text))
	}
	blocks, ok := decimal(text[12:14])
	if !ok {
		return h, 0, malformed("number of optional blocks: want two digits")
	}
	if text[15] != '0' {
		return h, 0, malformed("the reserved character is not 0")
	}
	h.Usage, h.Algorithm, h.Mode, h.KeyVersion = text[5:7], text[7], text[8], text[9:11]
	h.Exportability, h.Context = text[11], text[14]
	if err := h.check(); err != nil {
		return h, 0, err
	}
	if at, err = h.parseBlocks(text, blocks); err != nil {
		return h, 0, err
	}
	if at%h.Version.cipherSize() != 0 {
		return h, 0, malformed("the optional blocks do not fill whole cipher blocks of %d", h.Version.cipherSize())
	}
	return h, at, nil
}

func (h *Header) parseBlocks(text string, count int) (at int, err error) {
	seen := map[string]bool{}
	at = headerSize
	for i := range count {
		block, size, err := parseBlock(text[at:])
		if err != nil {
			return 0, fmt.Errorf("%w (optional block %d of %d)", err, i+1, count)
		}
		if seen[block.ID] {
			return 0, malformed("optional block %s stands twice", block.ID)
		}
		seen[block.ID] = true
		at += size
		switch {
		case block.ID != paddingID:
			h.Blocks = append(h.Blocks, block)
		case i != count-1:
			return 0, malformed("optional block PB is not the last")
		}
	}
	return at, nil
}

func parseBlock(text string) (block OptionalBlock, size int, err error) {
	if len(text) < shortHeader {
		return block, 0, malformed("the text ends inside an optional block")
	}
	block.ID = text[:2]
	if !isUpperOrDigit(block.ID) {
		return block, 0, malformed("id of an optional block: want two capital letters or digits")
	}
	size, ok := hexadecimal(text[2:4])
	from := shortHeader
	if ok && size == 0 {
		from = longHeader
		if len(text) < longHeader {
			return block, 0, malformed("the text ends inside optional block %s", block.ID)
		}
		// X9.143 counts the characters of the length, 04. TR-31:2018 was also read as counting its bytes, 02: a length of
		// two characters would need no long form.
		if text[4:6] != "04" && text[4:6] != "02" {
			return block, 0, malformed("length of the length of optional block %s: want 04", block.ID)
		}
		size, ok = hexadecimal(text[6:longHeader])
	}
	switch {
	case !ok:
		return block, 0, malformed("length of optional block %s: want capital hexadecimal digits", block.ID)
	case size < from:
		return block, 0, malformed("length of optional block %s: %d is less than its own header", block.ID, size)
	case size > len(text):
		return block, 0, malformed("length of optional block %s: %d characters, %d are left", block.ID, size, len(text))
	}
	block.Data = text[from:size]
	return block, size, nil
}

// append appends the header with a length still 0000 and the block PB that fills the last cipher block.
func (h *Header) append(dst []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, byte(h.Version), '0', '0', '0', '0')
	dst = append(dst, h.Usage...)
	dst = append(dst, h.Algorithm, h.Mode)
	dst = append(dst, h.KeyVersion...)
	dst = append(dst, h.Exportability, '0', '0', h.Context, '0')
	seen := map[string]bool{paddingID: true}
	for _, block := range h.Blocks {
		switch {
		case len(block.ID) != 2 || !isUpperOrDigit(block.ID):
			return nil, malformed("id of an optional block: want two capital letters or digits")
		case block.ID == paddingID:
			return nil, malformed("optional block PB is made here")
		case seen[block.ID]:
			return nil, malformed("optional block %s stands twice", block.ID)
		case !isPrintable(block.Data):
			return nil, malformed("data of optional block %s: a character that is not printable ASCII", block.ID)
		case len(block.Data)+longHeader > maxOptional:
			return nil, malformed("data of optional block %s: too long", block.ID)
		}
		seen[block.ID] = true
		dst = appendBlock(dst, block)
	}
	count, size := len(h.Blocks), h.Version.cipherSize()
	if over := (len(dst) - start) % size; over != 0 {
		fill := (2*size - over - shortHeader) % size
		dst = appendBlock(dst, OptionalBlock{paddingID, strings.Repeat("0", fill)})
		count++
	}
	if count > maxBlocks {
		return nil, malformed("%d optional blocks, at most %d", count, maxBlocks)
	}
	copy(dst[start+12:], fmt.Sprintf("%02d", count))
	return dst, nil
}

func appendBlock(dst []byte, block OptionalBlock) []byte {
	dst = append(dst, block.ID...)
	if size := shortHeader + len(block.Data); size <= 0xFF {
		dst = fmt.Appendf(dst, "%02X", size)
	} else {
		dst = fmt.Appendf(dst, "0004%04X", longHeader+len(block.Data))
	}
	return append(dst, block.Data...)
}

func decimal(text string) (n int, ok bool) {
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// hexadecimal reads capital digits only, as X9.143 §4 has it: one block has one writing.
func hexadecimal(text string) (n int, ok bool) {
	for _, c := range []byte(text) {
		v, good := hexDigit(c)
		if !good {
			return 0, false
		}
		n = n<<4 | int(v)
	}
	return n, true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
