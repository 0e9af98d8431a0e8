// Package issuer simulates a card network with its issuers: it charges cards, takes charges back, gives money back, holds
// pre-authorisations, answers well or badly, and keeps its own ledger of what it did, so that a drill can hold the switch's
// books against somebody else's.
//
// What it is asked, by DE3, DE25 and message type:
//
//	sale             0200 000000      charges
//	void             0200 200000      takes back a sale of the same terminal and clearing day, whole: 12 after its own
//	                                  cut-over, 22 when it is voided, reversed or refunded, 64 for another amount
//	refund           0220 200000      gives back a part or all of a charge of the same merchant; the sum never exceeds it: 64
//	inquiry          0200 310000      answers an invented balance in DE54
//	pre-auth         0100 030000      sets an amount aside
//	pre-auth void    0100 200000  06  lets it go
//	completion       0200 000000  06  charges at most what was set aside, once
//	completion void  0200 200000  06  takes the charge back, on its clearing day
//	reversal         0400, 0401       undoes any of these but a refund (40) and an inquiry
//
// Voids and refunds find their sale by DE61 or DE90 (host STAN and date) and DE38; the pre-authorisation family by card and
// DE38. An unknown original gets 25, another card 14, one that was declined 12. Reversals are matched by DE37.
//
// It is strict: it never charges an RRN twice, never gives back more than it charged, and it counts what a correct switch
// never does (a request sent again, a request overtaken by its own reversal). It checks no MAC and no PIN, and routes
// nowhere.
//
// The contract: a ledger line is written before the answer that tells of it leaves. Rules, seed and request alone decide
// how a request is treated; see Rules. What really happened to a request, for those who must settle what the switch could
// not learn, is its Outcome.
package issuer
