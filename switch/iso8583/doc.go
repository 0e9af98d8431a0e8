// Package iso8583 reads and writes ISO 8583 messages. A dialect is data: a message specification in the JSON format of
// moov-io/iso8583, with two extension keys (README.md). Compile turns it once into a Codec; from then on parsing fills a
// reusable Message with offsets into the received bytes, and a Builder appends a message to a given buffer. In steady
// state neither allocates.
//
// It does not frame (switch/wire does), does not compute MACs or translate PINs (switch/keys), does no I/O, and knows
// no transaction: which field must be present is its caller's business.
//
// # Values
//
// Three forms of a field's content occur. The wire form is the bytes of the message without the length prefix
// (Message.Raw). The canonical form is what the field says, whatever its encoding: digits as ASCII digits, with their
// exact count and without pad; tracks as digits with separator D (hexadecimal letters where a track is enciphered);
// everything else as the bytes themselves (Message.AppendField, Builder.Set). The text form is for people and JSON:
// canonical, with GBK turned into UTF-8 and binary into hexadecimal (Message.AppendText, Builder.SetText).
//
// # Duties of the caller
//
//   - A Message refers to the bytes given to Parse until the next Parse. Whoever reuses the read buffer before the
//     message is done with calls Message.Keep first.
//   - A *ParseError lies in the Message it was found in and is overwritten by the next Parse.
//   - A Codec is immutable and may be shared. A Message or Builder belongs to one goroutine at a time.
//   - Card numbers, tracks, PIN blocks and keys pass through here in clear. Whoever prints goes through Mask.
//
// # MAC
//
// A MAC covers the message from the MTI up to the field before it. Reading: Message.RawUpTo(64) is exactly that. Writing:
//
//	b.SetZero(64)                            // bit 64 is part of what is covered
//	out, err := b.Append(out[:0])
//	body := out[:len(out)-codec.WireSize(64)]
//	out, err = codec.AppendValue(body, 64, mac(body))
package iso8583
