// Package p11 is the module of a PKCS#11 token: an hsm.Module whose keys are inside the token and never in the memory of
// this process, but for the components of a key ceremony on their way in.
//
// It needs cgo and the token's library, so all of it is behind the build tag pkcs11; without the tag the package is empty.
// Its contract test runs against SoftHSM 2, which make test installs.
//
// What it does is what tokens of PKCS#11 have in common: 3DES and AES keys are drawn, formed, kept as tokens, carried by AES
// Key Wrap, checked by their check values, and make MACs. Everything else it refuses with hsm.ErrUnsupported and the name
// of what it would take, since PKCS#11 has no mechanism for it: PIN translation, TR-31, keys under a terminal's master key,
// SM4, single DES, X9.19.
//
// Two master keys lie in the token under one label, drawn by it and not extractable: one wraps keys (CKM_AES_KEY_WRAP), one
// makes the code (CKM_AES_CMAC) over a wrapped key, what it is and where it belongs:
//
//	0         1        5         6           7        8       9              17+n      33+n
//	+---------+--------+---------+-----------+--------+-------+--------------+---------+
//	| version | master | purpose | algorithm | length | flags | wrapped, n+8 | code 16 |
//	+---------+--------+---------+-----------+--------+-------+--------------+---------+
//
// version is 2, where 1 is the software module's; master are the first 4 bytes of the code of nothing; flag 1 is
// "exportable"; n is length. The code is over everything before it and the bind.
//
// Its limits: a weak DES key that arrives wrapped is not found, because nobody sees it. A key that is drawn or loaded is a
// session object and dies with the process. A token that has gone away stays away until the process is started again.
package p11
