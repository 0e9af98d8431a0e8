package seed

import "huanxin/switch/iso8583"

// What belongs to the n-th person is a function of n, so that the client needs no look-up and no HTTP: it shows the code
// that the seeder has bound to the entitlement.

// codeDigits is the length of a one-time code; the gateway's begin with 9 too.
const codeDigits = 18

// AppendCode appends the one-time code of person n.
func AppendCode(dst []byte, n uint64) []byte {
	return iso8583.AppendDigits(append(dst, '9'), n, codeDigits-1)
}

// identityDigits is the length of an identity number.
const identityDigits = 18

// AppendIdentity appends the identity number of person n. Its check digit is nobody's: the engine sees a hash.
func AppendIdentity(dst []byte, n uint64) []byte { return iso8583.AppendDigits(dst, n, identityDigits) }
