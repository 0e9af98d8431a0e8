package iso8583

import "strconv"

// Reason says what is wrong with a message or a value. It names no content, so that errors may be logged.
type Reason uint8

// The reasons.
const (
	// Truncated: the message ends inside the field.
	Truncated Reason = iota + 1
	// BadLength: the length prefix is no number, or more than the dialect allows the field. When building: the value
	// has not the fixed length, or is longer than the field may be.
	BadLength
	// BadContent: a byte or nibble that the field's content does not allow.
	BadContent
	// BadPad: the spare nibble of an odd count of digits is neither 0 nor F.
	BadPad
	// Undefined: the dialect has no such field.
	Undefined
	// NoSecondary: bit 1 (or bit 65) announces a further bitmap that the dialect does not have.
	NoSecondary
	// Trailing: bytes remain behind the last field that the bitmap announces. Field is that last field.
	Trailing
	// TooLarge: the message is longer than MaxMessage.
	TooLarge
)

// String returns the reason in words.
func (r Reason) String() string {
	switch r {
	case Truncated:
		return "message ends inside the field"
	case BadLength:
		return "bad length"
	case BadContent:
		return "content not allowed in this field"
	case BadPad:
		return "pad nibble is neither 0 nor F"
	case Undefined:
		return "field is not in the dialect"
	case NoSecondary:
		return "bitmap announces a further bitmap, which the dialect does not have"
	case Trailing:
		return "bytes remain behind the last field"
	case TooLarge:
		return "message too large"
	}
	return "unknown reason"
}

// ParseError is why a message was refused. Field is 0 for the MTI, 1 for a bitmap, else the field number; Offset counts
// bytes from the first byte of the MTI and points at the byte that decided.
type ParseError struct {
	Field  int
	Offset int
	Reason Reason
}

// Error names field, offset and reason, and nothing of the content.
func (e *ParseError) Error() string {
	return "field " + strconv.Itoa(e.Field) + ", offset " + strconv.Itoa(e.Offset) + ": " + e.Reason.String()
}

// FieldError is why a value could not be put into a message.
type FieldError struct {
	Field  int // 0 for the MTI
	Reason Reason
}

// Error names field and reason, and nothing of the content.
func (e *FieldError) Error() string {
	return "field " + strconv.Itoa(e.Field) + ": " + e.Reason.String()
}
