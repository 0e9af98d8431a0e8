package engine

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/stretchr/testify/require"

	"huanxin/switch/event"
)

// FuzzColdRecord takes what the check sum would have kept out: a record is refused, or it is read as it will be written.
func FuzzColdRecord(f *testing.F) {
	key := &event.ExchangeKey{Terminal: "21010001", Merchant: "898210157220001", Batch: 1, Stan: 2}
	sale := &event.SaleSent{Purchase: 7, Key: key, Rrn: "516900000001"}
	var out frame
	for _, c := range []coldEntry{
		{purchase: &purchase{id: 7, state: Captured, leaf: -1, sale: sale}},
		{purchase: &purchase{id: 7, state: Refunded, sale: sale, leg: leg{answer: &event.HostAnswer{Response: "00"}}, operations: []uint64{8}},
			operations: []*operation{{id: 8, purchase: 7, refund: &event.RefundSent{Operation: 8, Purchase: 7, Key: key}}}},
		{purchase: &purchase{id: 7, state: HoldExpired, proposal: &event.HoldReleaseProposed{Purchase: 7}}},
	} {
		f.Add(out.encode(c)[recordHeader:])
	}
	f.Add([]byte{7, 1, 0, 0, 1, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > maxRecord-recordHeader {
			return
		}
		id, _ := binary.Uvarint(body)
		log := &memoryLog{b: make([]byte, recordHeader)}
		binary.BigEndian.PutUint32(log.b, uint32(len(body)))
		binary.BigEndian.PutUint64(log.b[8:], id)
		log.b = append(log.b, body...)
		binary.BigEndian.PutUint32(log.b[4:], crc32.Checksum(log.b[8:], castagnoli))
		var in frame
		c, err := in.read(log, 0, id)
		if err != nil {
			require.ErrorIs(t, err, errRecord)
			return
		}
		require.Len(t, c.operations, len(c.purchase.operations))
		again := bytes.Clone(out.encode(c))
		same, err := in.read(&memoryLog{b: again}, 0, id)
		require.NoError(t, err)
		require.Equal(t, again, out.encode(same))
	})
}
