// Package label reads what a seller writes on a purchase beside its amounts: the serial number of the item, and free
// references such as an order number. It says which form they have, what of a serial is hashed, and what of either may be
// shown or kept in clear.
//
// It is pure and shared by every way in: an item sold over HTTP with the serial of one sold at a till must meet it.
package label
