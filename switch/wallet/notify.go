package wallet

import (
	"net/http"

	"huanxin/switch/engine"
)

// NotificationPath is where a wallet of this name sends its notifications, and what it signs.
func NotificationPath(name string) string { return "/v1/wallets/" + name + "/notifications" }

// Notify takes what a wallet sends to NotificationPath and returns the HTTP status to answer:
//
//	204  taken, or nothing new
//	400  it is no notification
//	401  not signed with the wallet's key, or not now
//	404  no such wallet
//	503  the switch takes nothing now; send it again
//
// Late, double and false ones do no harm: the engine looks for a purchase of this number at this wallet, and what it has
// settled stays settled.
func (l *Links) Notify(name string, header http.Header, body []byte) int {
	one := l.links[name]
	if one == nil {
		return http.StatusNotFound
	}
	status := one.notify(header, body)
	one.count.notification(map[int]string{
		http.StatusNoContent: "taken", http.StatusBadRequest: "malformed", http.StatusUnauthorized: "signature",
		http.StatusServiceUnavailable: "busy",
	}[status])
	return status
}

func (l *link) notify(header http.Header, body []byte) int {
	if len(body) > maxBody {
		return http.StatusBadRequest
	}
	if l.cfg.Key.Verify(header, http.MethodPost, NotificationPath(l.cfg.Name), body, l.deps.Now()) != nil {
		return http.StatusUnauthorized
	}
	in, err := readNotification(body)
	if err != nil {
		return http.StatusBadRequest
	}
	if in == nil {
		return http.StatusNoContent
	}
	in.Host = l.cfg.Name
	if l.deps.Server.Submit(in) != nil {
		return http.StatusServiceUnavailable
	}
	return http.StatusNoContent
}

// readNotification returns what the engine is told; nil when that is nothing.
func readNotification(body []byte) (*engine.HostAnswered, error) {
	var n Notification
	if err := decode(body, &n); err != nil {
		return nil, err
	}
	in := &engine.HostAnswered{Kind: engine.HostSale}
	switch {
	case n.Payment != nil && n.Refund == nil:
		if err := n.Payment.check(""); err != nil {
			return nil, err
		}
		in.RRN = n.Payment.Payment
		paymentAnswer(in, n.Payment)
		if n.Payment.Status == Closed {
			in.Kind = engine.HostQuery
		}
	case n.Refund != nil && n.Payment == nil:
		if err := n.Refund.check(""); err != nil {
			return nil, err
		}
		in.RRN = n.Refund.Refund
		refundAnswer(in, n.Refund)
		if n.Refund.Status == Closed {
			in.Kind = engine.HostQuery
		}
	default:
		return nil, errMalformed
	}
	if in.Pending {
		return nil, nil
	}
	return in, nil
}
