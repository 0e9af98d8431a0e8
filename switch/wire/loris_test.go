package wire

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"huanxin/switch/limit"
)

// addressed is a connection from somewhere.
type addressed struct {
	*duplex
	from net.Addr
}

func (a *addressed) RemoteAddr() net.Addr { return a.from }

func (p *pipes) dialFrom(ip string) *duplex {
	client, server := newDuplex()
	p.next <- &addressed{server, &net.TCPAddr{IP: net.ParseIP(ip), Port: 40000}}
	return client
}

// clientHello is the first flight of a handshake.
func clientHello(t *testing.T) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer client.Close()
	go func() { _ = tls.Client(client, &tls.Config{ServerName: "localhost"}).Handshake() }()
	record := make([]byte, 5, 4096)
	_, err := io.ReadFull(server, record)
	require.NoError(t, err)
	record = record[:5+int(record[3])<<8+int(record[4])]
	_, err = io.ReadFull(server, record[5:])
	require.NoError(t, err)
	require.NoError(t, server.Close())
	return record
}

// Whoever opens connections and does not come to the end of the handshake – says nothing, sends a byte a second, or does not read –
// has them for as long as one frame may take, and no more of them than any other sender. The others do not notice.
func TestSlowLorisInTheHandshakeEndsAndHoldsUpNobody(t *testing.T) {
	secure, pool := certificate(t, nil)
	hello, today := clientHello(t), time.Now()
	synctest.Test(t, func(t *testing.T) {
		const timeout, places = 10 * time.Second, 6
		p := open(t, &echo{}, func(c *Config) {
			c.TLS, c.FrameTimeout = secure, timeout
			c.Limits = Limits{Sources: limit.NewSources(nil), Open: limit.NewHolders(places)}
		})
		honest := func(ip string) *tls.Conn {
			return tls.Client(p.pipes.dialFrom(ip), &tls.Config{RootCAs: pool, ServerName: "localhost", Time: func() time.Time { return today }})
		}
		begun := time.Now()
		ended := make(chan time.Duration, places)
		for i := range places {
			c := p.pipes.dialFrom("203.0.113.7")
			go func() {
				switch i % 3 {
				case 0: // silent
				case 1: // a byte a second: the hello would take minutes
					for at := range hello {
						if _, err := c.Write(hello[at : at+1]); err != nil {
							break
						}
						time.Sleep(time.Second)
					}
				case 2: // the whole hello, and nobody reads the answer
					_, _ = c.Write(hello)
					time.Sleep(timeout)
				}
				_, _ = io.Copy(io.Discard, c) // until the switch has closed it
				ended <- time.Since(begun)
			}()
		}
		synctest.Wait()
		require.Equal(t, float64(places), p.count("huanxin_wire_connections"))
		requireEnd(t, p.pipes.dialFrom("203.0.113.7"))
		require.Equal(t, 1.0, p.count("huanxin_wire_connections_limited_total"), "unfinished handshakes are connections of their sender")

		first := honest("198.51.100.1")
		for range 9 {
			ask(t, first, "I was here before")
			later := honest("198.51.100.1")
			ask(t, later, "and I come now")
			require.NoError(t, later.Close())
			time.Sleep(time.Second)
		}
		require.Zero(t, p.count("huanxin_wire_handshakes_total", "timeout"), "not before their time")
		for range places {
			require.Less(t, <-ended, timeout+2*time.Second) // whoever sends a byte a second notices with the next
		}
		require.Equal(t, float64(places), p.count("huanxin_wire_handshakes_total", "timeout"))
		require.Equal(t, float64(places), p.count("huanxin_wire_closes_total", CauseHandshake.String()))
		ask(t, first, "still here")
		require.NoError(t, first.Close())
		again := honest("203.0.113.7")
		ask(t, again, "its places are free again")
		require.NoError(t, again.Close())
	})
}
