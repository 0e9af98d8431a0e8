package main

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"huanxin/config/dialects"
	"huanxin/switch/iso8583"
	"huanxin/switch/wire"
)

// newISO8583Command is `huanxin iso8583`: one message from hexadecimal to JSON and back.
func newISO8583Command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "iso8583",
		Short: "解析与生成 ISO 8583 报文 – decode and encode ISO 8583 messages",
	}
	cmd.AddCommand(newISO8583DecodeCommand(), newISO8583EncodeCommand())
	return cmd
}

// lineFlags say how the bytes are to be read.
type lineFlags struct {
	dialect string
	folder  string
	framing string
}

func (l *lineFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&l.dialect, "dialect", "cup",
		"方言：名称或 .json 文件 – dialect: a name, or the path of a .json file")
	cmd.Flags().StringVar(&l.folder, "dialects", "",
		"先在此目录找方言 – folder searched first, before config/dialects here and the copies inside the program")
	cmd.Flags().StringVar(&l.framing, "framing", "cup",
		"成帧方式 – cup, nac, ncc, ascii4, raw2, raw4, or none (no length; TPDU and header when the first byte is 60)")
}

// open resolves both names. framing is 0 for none.
func (l *lineFlags) open() (codec *iso8583.Codec, framing wire.Framing, err error) {
	if l.framing != "none" {
		if framing, err = wire.ParseFraming(l.framing); err != nil {
			return nil, 0, badInput("iso8583: %w, or none", err)
		}
	}
	spec, from, err := dialects.Load(l.folder, l.dialect)
	if err != nil {
		return nil, 0, badInput("iso8583: %w", err)
	}
	if codec, err = iso8583.Compile(spec); err != nil {
		return nil, 0, badInput("iso8583: dialect %s: %w", from, err)
	}
	return codec, framing, nil
}

func newISO8583DecodeCommand() *cobra.Command {
	var line lineFlags
	var unmask bool
	cmd := &cobra.Command{
		Use:   "decode [flags] HEX|-",
		Short: "十六进制报文 → JSON – print a message as one JSON object",
		Long: `Reads one message in hexadecimal, blanks and line breaks allowed, from the argument or (-) from standard input, and
prints one JSON object:

  {"tpdu":"6000030000","header":"603100310100","mti":"0200","fields":{"3":"000000","41":"10000001"},"hex":["59"]}

BCD fields have their exact count of digits, a track's separator is D. Binary fields and DE52, 55, 62, 64 are upper-case
hexadecimal. Other text is GBK turned into UTF-8, untrimmed, when every character is printable; a field that is not is
upper-case hexadecimal and its number is listed in "hex". DE2, 35, 36, 45, 52, 55, 59 and 62 are masked.

Exit codes: 0 decoded; 1 malformed: the offset in bytes from the beginning of the input and the field are on standard
error; 2 wrong use, unknown dialect or framing.`,
		Args: wantArgs("iso8583 decode", "HEX or -"),
		RunE: func(cmd *cobra.Command, args []string) error {
			codec, framing, err := line.open()
			if err != nil {
				return err
			}
			raw, err := readHex(cmd.InOrStdin(), args)
			if err != nil {
				return err
			}
			doc, err := decodeDocument(codec, framing, raw, unmask)
			if err != nil {
				return &exitError{1, fmt.Errorf("iso8583 decode: %w", err)}
			}
			return writeDocument(cmd.OutOrStdout(), doc)
		},
	}
	line.register(cmd)
	cmd.Flags().BoolVar(&unmask, "unmask", false,
		"显示卡号、磁道等敏感域 – show card numbers, tracks, keys in clear")
	return cmd
}

func newISO8583EncodeCommand() *cobra.Command {
	var line lineFlags
	cmd := &cobra.Command{
		Use:   "encode [flags] FILE|-",
		Short: "JSON → 十六进制报文 – print the message of a JSON object in hexadecimal",
		Long: `Reads the JSON object that decode --unmask prints, from a file or (-) from standard input, and prints the message in
upper-case hexadecimal. "tpdu" and "header" must be there exactly when the framing carries them; with framing none both
or neither. Pad nibbles are written as the dialect has them. A name that is unknown or stands twice is refused, and so is
a field number with a leading zero.

Exit codes: 0 encoded; 1 the object makes no message, the field is on standard error; 2 wrong use, unknown dialect or
framing, no such file.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return badInput("iso8583 encode: want FILE or -, not %d arguments", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			codec, framing, err := line.open()
			if err != nil {
				return err
			}
			in, err := readInput(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			out, err := encodeDocument(codec, framing, in)
			if err != nil {
				return &exitError{1, fmt.Errorf("iso8583 encode: %w", err)}
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%X\n", out)
			return err
		},
	}
	line.register(cmd)
	return cmd
}

func wantArgs(command, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return badInput("%s: want %s", command, what)
		}
		return nil
	}
}

// isoDocument is the JSON form of a message.
type isoDocument struct {
	TPDU   string    `json:"tpdu,omitempty"`
	Header string    `json:"header,omitempty"`
	MTI    string    `json:"mti"`
	Fields isoFields `json:"fields"`
	Hex    []string  `json:"hex,omitempty"`
}

// isoFields are text forms by field number, printed in the order of the message.
type isoFields map[int]string

func (f isoFields) numbers() []int { return slices.Sorted(maps.Keys(f)) }

// MarshalJSON prints the fields in ascending order of their numbers.
func (f isoFields) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	for i, n := range f.numbers() {
		out.WriteByte("{,"[min(i, 1)])
		fmt.Fprintf(&out, "%q:", strconv.Itoa(n))
		if err := enc.Encode(f[n]); err != nil {
			return nil, err
		}
	}
	if len(f) == 0 {
		out.WriteByte('{')
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// malformed is a refusal with its place in the input. Field is a number, or the name of a part of the frame.
func malformed(offset int, field, why string) error {
	return fmt.Errorf("malformed message: offset %d, field %s: %s", offset, field, why)
}

func decodeDocument(codec *iso8583.Codec, framing wire.Framing, raw []byte, unmask bool) (*isoDocument, error) {
	frame, at, err := unframe(framing, raw)
	if err != nil {
		return nil, err
	}
	var m iso8583.Message
	if err := codec.Parse(frame.Message, &m); err != nil {
		var pe *iso8583.ParseError
		if errors.As(err, &pe) {
			return nil, malformed(at+pe.Offset, fieldName(pe.Field), pe.Reason.String())
		}
		return nil, err
	}
	doc := &isoDocument{
		TPDU: upperHex(frame.TPDU), Header: upperHex(frame.Header), MTI: m.MTI().String(), Fields: isoFields{},
	}
	for n := m.Next(0); n != 0; n = m.Next(n) {
		text, isHex := m.AppendText(nil, n)
		if isHex {
			doc.Hex = append(doc.Hex, strconv.Itoa(n))
		}
		doc.Fields[n] = string(text)
		if !unmask {
			doc.Fields[n] = iso8583.Mask(n, doc.Fields[n])
		}
	}
	return doc, nil
}

func fieldName(n int) string {
	switch n {
	case 0:
		return "0 (MTI)"
	case 1:
		return "1 (bitmap)"
	}
	return strconv.Itoa(n)
}

// unframe takes exactly one frame apart. at is where its message begins.
func unframe(framing wire.Framing, raw []byte) (frame wire.Frame, at int, err error) {
	if framing == 0 {
		return unframeNone(raw)
	}
	size := framing.LengthSize()
	if len(raw) < size {
		return frame, 0, malformed(len(raw), "length", "input ends inside the length field")
	}
	body, err := framing.Length(raw)
	if err != nil {
		return frame, 0, malformed(0, "length", err.Error())
	}
	if body != len(raw)-size {
		return frame, 0, malformed(0, "length", fmt.Sprintf("says %d, %d bytes follow", body, len(raw)-size))
	}
	frame, _, err = framing.Next(raw, math.MaxInt32)
	switch {
	case errors.Is(err, wire.ErrTPDU):
		return frame, 0, malformed(size, "TPDU", err.Error())
	case err != nil:
		return frame, 0, malformed(0, "length", err.Error())
	case frame.KeepAlive():
		return frame, 0, malformed(size, "0 (MTI)", "a keep-alive carries no message")
	}
	return frame, len(raw) - len(frame.Message), nil
}

// unframeNone takes TPDU and header off when the first byte says that they are there.
func unframeNone(raw []byte) (frame wire.Frame, at int, err error) {
	if len(raw) == 0 || raw[0] != 0x60 {
		return wire.Frame{Message: raw}, 0, nil
	}
	const routing = wire.TPDUSize + wire.HeaderSize
	if len(raw) < routing {
		return frame, 0, malformed(len(raw), "header", "input ends inside TPDU and header")
	}
	return wire.Frame{TPDU: raw[:wire.TPDUSize], Header: raw[wire.TPDUSize:routing], Message: raw[routing:]}, routing, nil
}

func encodeDocument(codec *iso8583.Codec, framing wire.Framing, in []byte) ([]byte, error) {
	doc, err := readDocument(in)
	if err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	message, err := buildMessage(codec, doc)
	if err != nil {
		return nil, err
	}
	tpdu, err := hex.DecodeString(doc.TPDU)
	if err != nil {
		return nil, fmt.Errorf("tpdu: %w", err)
	}
	header, err := hex.DecodeString(doc.Header)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if framing != 0 {
		return framing.AppendFrame(nil, tpdu, header, message)
	}
	if len(tpdu)+len(header) > 0 && (len(tpdu) != wire.TPDUSize || len(header) != wire.HeaderSize || tpdu[0] != 0x60) {
		return nil, fmt.Errorf("framing none takes a tpdu of 5 bytes that begins with 60 and a header of 6, or neither")
	}
	return slices.Concat(tpdu, header, message), nil
}

// readDocument reads the JSON object and nothing around it. Every name stands once and is exactly one that decode prints:
// with two values for one field, nobody could tell which of them the message will have.
func readDocument(in []byte) (*isoDocument, error) {
	doc := &isoDocument{Fields: isoFields{}}
	r := documentReader{json.NewDecoder(bytes.NewReader(in))}
	err := r.object("", func(name string) (err error) {
		switch name {
		case "tpdu":
			doc.TPDU, err = r.text(name)
		case "header":
			doc.Header, err = r.text(name)
		case "mti":
			doc.MTI, err = r.text(name)
		case "fields":
			err = r.object(name, func(number string) error {
				n, err := fieldNumber(number)
				if err != nil {
					return err
				}
				doc.Fields[n], err = r.text("field " + number)
				return err
			})
		case "hex":
			doc.Hex, err = r.list(name)
		default:
			err = fmt.Errorf("unknown name %q", name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one object")
	}
	return doc, nil
}

// fieldNumber reads a field's number as decode prints it: no sign, no leading zero.
func fieldNumber(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || strconv.Itoa(n) != text {
		return 0, fmt.Errorf("field %q: want its number, with no leading zero", text)
	}
	return n, nil
}

// documentReader takes JSON apart token by token: encoding/json by itself lets the last of two values win.
type documentReader struct{ dec *json.Decoder }

// object reads an object and calls member after each name, to read its value. where is the object's own name, "" outside.
func (r documentReader) object(where string, member func(name string) error) error {
	if err := r.delim('{', where); err != nil {
		return err
	}
	seen := map[string]bool{}
	for r.dec.More() {
		token, err := r.dec.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string) // the decoder lets nothing else stand there
		if seen[name] {
			return fmt.Errorf("%s stands twice", strings.TrimSpace(where+fmt.Sprintf(" %q", name)))
		}
		seen[name] = true
		if err := member(name); err != nil {
			return err
		}
	}
	return r.delim('}', where)
}

func (r documentReader) delim(want json.Delim, where string) error {
	token, err := r.dec.Token()
	if err != nil {
		return err
	}
	if token != want {
		return fmt.Errorf("%s: want %s", cmp.Or(where, "message"), want)
	}
	return nil
}

func (r documentReader) text(name string) (string, error) {
	token, err := r.dec.Token()
	if err != nil {
		return "", err
	}
	text, ok := token.(string)
	if !ok {
		return "", fmt.Errorf("%s: want a string", name)
	}
	return text, nil
}

func (r documentReader) list(name string) (texts []string, err error) {
	if err := r.delim('[', name); err != nil {
		return nil, err
	}
	for r.dec.More() {
		text, err := r.text(name)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, r.delim(']', name)
}

func buildMessage(codec *iso8583.Codec, doc *isoDocument) ([]byte, error) {
	mti, err := strconv.ParseUint(doc.MTI, 16, 16)
	if err != nil || len(doc.MTI) != 4 {
		return nil, fmt.Errorf("mti: want four digits")
	}
	isHex := map[int]bool{}
	for _, text := range doc.Hex {
		n, err := fieldNumber(text)
		if err != nil {
			return nil, fmt.Errorf("hex: %w", err)
		}
		if _, ok := doc.Fields[n]; !ok {
			return nil, fmt.Errorf("hex: field %q is not among the fields", text)
		}
		if isHex[n] {
			return nil, fmt.Errorf("hex: field %q stands twice", text)
		}
		isHex[n] = true
	}
	var b iso8583.Builder
	b.Reset(codec, iso8583.MTI(mti))
	for _, n := range doc.Fields.numbers() {
		if isMasked(n, doc.Fields[n]) {
			return nil, fmt.Errorf("field %d is masked: decode with --unmask", n)
		}
		b.SetText(n, doc.Fields[n], isHex[n])
	}
	return b.Append(nil)
}

// isMasked tells whether the text is what Mask makes. In tracks 1 and tags a star may be genuine among others.
func isMasked(n int, text string) bool {
	if n == 45 || n == 59 {
		return text != "" && strings.Trim(text, "*") == ""
	}
	return iso8583.Masked(n) && strings.Contains(text, "*")
}

// maxInput bounds what is read: more than any message in hexadecimal or JSON.
const maxInput = 1 << 20

func readInput(stdin io.Reader, name string) ([]byte, error) {
	from := stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, badInput("iso8583: %w", err)
		}
		defer file.Close()
		from = file
	}
	in, err := io.ReadAll(io.LimitReader(from, maxInput+1))
	if err != nil {
		return nil, badInput("iso8583: read %s: %w", name, err)
	}
	if len(in) > maxInput {
		return nil, badInput("iso8583: %s is larger than %d bytes", name, maxInput)
	}
	return in, nil
}

// readHex reads the arguments, or standard input when there is the one argument -, as hexadecimal with any blanks.
func readHex(stdin io.Reader, args []string) ([]byte, error) {
	text := strings.Join(args, "")
	if text == "-" {
		in, err := readInput(stdin, "-")
		if err != nil {
			return nil, err
		}
		text = string(in)
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text)
	raw, err := hex.DecodeString(text)
	if err != nil {
		// raw is what was decoded before the bad character; the character itself may be of a card number.
		return nil, &exitError{1, fmt.Errorf("iso8583 decode: %w", malformed(len(raw), "input", "not an even number of hexadecimal digits"))}
	}
	return raw, nil
}

func writeDocument(out io.Writer, doc *isoDocument) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	return enc.Encode(doc)
}

func upperHex(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }
