package till

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"huanxin/internal/money"
)

const afterScript = `
name: 交易之后
terminals:
  shop: {terminal: "21010001", merchant: "898210157220001", name: 沈阳和平电器商店}
  desk: {terminal: "21010002", merchant: "898210157220001", name: 沈阳和平电器商店}
cards:
  chip: {pan: "6224240000000017", expiry: "3012", seq: "001", chip: true, track2: "6224240000000017D301222010000000000"}
  other: {pan: "6224240000000025", expiry: "3012"}
  wallet: {code: "6220485073630469936"}
cases:
  - name: 撤销、撤销被冲正、再撤销
    till: shop
    steps:
      - {sign_on: {}, expect: {rc: "00"}}
      - {sale: {card: chip, amount: 30.00, ordinary: true}, expect: {rc: "00"}}
      - {void: {card: other}, expect: {rc: "14"}}
      - {void: {lose_answer: true}}
      - {reversal: {}, expect: {rc: "00"}}
      - {status: {}, expect: {rc: "00", state: captured}}
      - {void: {}, expect: {rc: "00"}}
      - {void: {}, expect: {rc: "22"}}
  - name: 补贴消费，整单退货由另一终端办理
    till: shop
    person: 1
    steps:
      - {claim: {category: A01, city: "210100"}}
      - {show: {}}
      - reserve: {barcode: "6901234567892", product: 冰箱, serial: "{{serial 1}}", price: 5000.00}
        expect: {rc: "00", subsidy: 1000.00}
      - {sale: {card: chip, as: fridge}, expect: {rc: "00"}}
      - {report: {kind: certificate}, expect: {rc: "00"}}
      - {report: {kind: script}, expect: {rc: "00"}}
  - name: 部分退货与余额
    till: desk
    steps:
      - {refund: {of: fridge, amount: 1000.00}, expect: {rc: "00", returned: 250.00, subsidy: 750.00}}
      - {refund: {of: fridge, amount: 3000.01}, expect: {rc: "64"}}
      - {refund: {of: fridge, amount: 3000.00, activated: true}, expect: {rc: "00", returned: 1000.00}}
      - {balance: {card: chip}, expect: {rc: "00"}}
      - {report: {codes: "0104"}, expect: {rc: "00"}}
  - name: 预授权
    till: desk
    steps:
      - {preauth: {card: chip, amount: 100.00}, expect: {rc: "00"}}
      - {preauth: {card: chip, kind: completion, amount: 90.00}, expect: {rc: "00"}}
      - {sale: {card: wallet, amount: 12.00, ordinary: true}, expect: {rc: "00"}}
      - {sale: {card: chip, amount: 13.00, ordinary: true, lose_answer: true}}
      - {reversal: {}, expect: {rc: "00"}}
  - name: 结算平，上送
    till: desk
    steps:
      - {settle: {}, expect: {rc: "00", equal: true}}
      - {upload: {}, expect: {rc: "00"}}
  - name: 结算不平，上送
    till: shop
    steps:
      - {settle: {off: 1.00}, within: 5s, expect: {rc: "00", equal: false}}
      - {upload: {forget: 1, off: 0.01}, expect: {rc: "00"}}
      - {sale: {card: chip, amount: 1.00, ordinary: true}, expect: {rc: "00"}}
      - {status: {by: rrn}, expect: {rc: "00", state: captured, refunded: 0.00}}
      - {status: {by: original}, expect: {rc: "00"}}
  - name: 网上商店
    till: shop
    person: 2
    steps:
      - {claim: {category: A01, city: "210100", channel: online}}
      - {order: {merchant: "898210157320016", barcode: "6901234567892", serial: "{{serial 2}}", price: 5000.00, delivery: "210102"}, expect: {status: 201, subsidy: 1000.00, payable: 4000.00}}
      - {commit: {external: "PAY-{{run}}", amount: 5.00}, expect: {status: 422, reasons: [PAYABLE_MISMATCH]}}
      - {commit: {wallet: wallet}, expect: {status: 200, state: captured}}
      - {give_back: {amount: 1000.00}, expect: {status: 200, refunded: 1000.00}}
      - {give_back: {amount: 1000.00, again: true}, expect: {status: 200}}
      - {look_up: {}, within: 5s, expect: {status: 200, state: captured}}
  - name: 网上取消
    till: shop
    person: 3
    steps:
      - {claim: {category: A01, city: "210100", channel: online}}
      - {order: {merchant: "898210157320016", barcode: "6901234567892", price: 500.00}, expect: {status: 201}}
      - {drop: {}, expect: {status: 200, state: cancelled}}
  - name: 操作员
    till: shop
    steps:
      - operator: {program: clerk, args: [saf, list, "run {{run}}"], says: ["R000000000007 run 1"], learn: {item: '(R\d{12})'}, meanwhile: {till: desk, card: chip, amount: 2.00, sales: 3}}
      - operator: {program: clerk, args: [saf, resolve, "{{item}}"], says: ["resolve R000000000007"]}
      - operator: {program: clerk, args: [fail], fails: true}
`

func TestEverythingAfterASaleIsPlayedWithReceipts(t *testing.T) {
	var out bytes.Buffer
	p, sw := player(t, afterScript, "", &out)
	p.Programs = t.TempDir()
	clerk := "#!/bin/sh\n[ \"$1\" = fail ] && exit 3\ncase \"$2\" in list) echo \"R000000000007 $3\";; *) echo \"$2 $3\";; esac\n"
	require.NoError(t, os.WriteFile(filepath.Join(p.Programs, "clerk"), []byte(clerk), 0o755))
	result, err := p.Play(context.Background())
	require.NoError(t, err)
	require.Empty(t, result.Failed, out.String())
	require.Empty(t, sw.Violations())
	for _, text := range []string{
		"消费撤销", "撤销未成立，原消费有效", "未退款", "退款金额", "收回补贴", "当前状态", "对账平", "对账不平", "预授权完成", "批上送 4 笔", "批上送 0 笔",
		"查询余额 00 1234.56", "同时完成普通消费 3 笔", "$ clerk saf resolve R000000000007",
	} {
		require.Contains(t, out.String(), text)
	}
	require.NotContains(t, out.String(), "6224240000000017")
}

func TestStepThatIsNeverAsExpectedFailsAfterItsTime(t *testing.T) {
	var out bytes.Buffer
	p, _ := player(t, `
terminals: {shop: {terminal: "21010001", merchant: "898210157220001"}}
cards: {chip: {pan: "6224240000000017", expiry: "3012"}}
cases:
  - name: wrong
    till: shop
    steps:
      - {sale: {card: chip, amount: 5.00, ordinary: true}, expect: {rc: "00"}}
      - {status: {}, within: 300ms, expect: {state: refunded}}
`, "", &out)
	result, err := p.Play(context.Background())
	require.NoError(t, err)
	require.Equal(t, []string{`wrong: step 2: purchase is "captured", expected "refunded"`}, result.Failed)
	require.Equal(t, 1, strings.Count(out.String(), "查询交易"), "only the last attempt is printed")
}

func TestBatchIsForgottenWithItsSettlement(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	s, err := OpenState(path)
	require.NoError(t, err)
	require.NoError(t, s.SetBatch("T", 999999))
	s.Enter("T", Record{STAN: 1, Card: "6224240000000017", Amount: 100})
	require.NoError(t, s.Save())
	s, err = OpenState(path)
	require.NoError(t, err)
	closed, err := s.CloseBatch("T", 999999)
	require.NoError(t, err)
	require.Len(t, closed, 1)
	require.EqualValues(t, 1, s.Batch("T", 1), "the number wraps")
	require.Empty(t, s.Records("T"))
}

// A plain sum over what stands is the reference for the totals of a batch.
func TestTotalsCountWhatStands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := OpenState("")
		require.NoError(t, err)
		type line struct {
			record Record
			gone   bool
		}
		var lines []*line
		for stan := uint32(1); stan <= 30; stan++ {
			l := &line{record: Record{
				STAN: stan, Amount: money.Amount(rapid.Int64Range(1, 1e6).Draw(t, "amount")),
				Subsidy: money.Amount(rapid.Int64Range(0, 1).Draw(t, "subsidised") * 50), Credit: rapid.IntRange(0, 4).Draw(t, "credit") == 0,
			}}
			if l.record.Credit {
				l.record.Subsidy = 0
			}
			s.Enter("T", l.record)
			lines = append(lines, l)
			other := lines[rapid.IntRange(0, len(lines)-1).Draw(t, "other")]
			switch rapid.IntRange(0, 3).Draw(t, "act") {
			case 0:
				s.Void("T", other.record.STAN, false)
				other.gone = true
			case 1:
				s.Void("T", other.record.STAN, true)
				other.gone = false
			}
		}
		var want Totals
		for _, l := range lines {
			switch {
			case l.gone:
			case l.record.Credit:
				want.Credit += l.record.Amount
				want.CreditCount++
			default:
				want.Debit += l.record.Amount
				want.DebitCount++
				if l.record.Subsidy > 0 {
					want.Subsidy += l.record.Subsidy
					want.SubsidyCount++
				}
			}
		}
		require.Equal(t, want, Sum(s.Records("T")))
		require.Len(t, Uploaded(s.Records("T")), int(want.DebitCount+want.CreditCount))
		require.Len(t, want.settlementDetails(), totalsDigits)
	})
}

func TestVoidAndRefundNameTheirOriginal(t *testing.T) {
	codec := cupCodec(t)
	r := Request{
		MTI: 0x0220, Kind: KindRefund, Terminal: "21010001", Merchant: "898210157220001", Batch: 8, STAN: 43, Amount: 100,
		Card: &Card{PAN: "6224240000000017", Expiry: "3012"}, RRN: "516900000001", Approval: "123456",
		Original: &Original{Batch: 7, STAN: 42, Date: "0618"}, Tags: []Tag{{"SO", "1"}},
	}
	refund := built(t, codec, &r)
	for n, want := range map[int]string{3: "200000", 37: "516900000001", 38: "123456", 61: "0000070000420618", 60: "2500000800060", 59: "SO0011"} {
		require.True(t, refund.Equal(n, want), "field %d is %q", n, refund.AppendField(nil, n))
	}
	r.MTI, r.Kind, r.Original.Date, r.Tags = 0x0200, KindVoid, "", nil
	require.True(t, built(t, codec, &r).Equal(61, "000007000042"))
	r.MTI, r.Cause = 0x0400, "98"
	reversal := built(t, codec, &r)
	require.True(t, reversal.Equal(3, "200000"))
	require.True(t, reversal.Equal(61, "000007000042"))
}

func TestUploadSaysWhatTheBatchHolds(t *testing.T) {
	codec := cupCodec(t)
	shop := Till{Terminal: "21010001", Merchant: "898210157220001"}
	r := UploadRequest(shop, 7, 99, []Record{{STAN: 42, Card: "6224240000000017", Amount: 12345}})
	m := built(t, codec, &r)
	require.True(t, m.Equal(48, "01"+"00"+"000042"+"00006224240000000017"+"000000012345"), "%s", m.AppendField(nil, 48))
	r = SettleRequest(shop, 7, 100, &Totals{Debit: 12345, DebitCount: 1, Subsidy: 50, SubsidyCount: 1})
	m = built(t, codec, &r)
	require.True(t, m.Equal(48, "000000012345001"+"000000000000000"+"0"+strings.Repeat("0", 31)))
	require.True(t, m.Equal(59, "SJ003001SK012000000000050"))
	require.True(t, m.Equal(60, "00000007201"))
	r = UploadEndRequest(shop, 7, 101, 1, true)
	require.True(t, built(t, codec, &r).Equal(60, "00000007207"))
}

func FuzzReadTotals(f *testing.F) {
	codec := cupCodec(f)
	f.Add("000000012345001000000000000000" + "1" + strings.Repeat("0", 31))
	f.Add("1")
	f.Fuzz(func(t *testing.T, details string) {
		r := Request{MTI: 0x0500, Terminal: "21010001", Merchant: "898210157220001", Details: details}
		var a Answer
		if m := tryBuilt(codec, &r); m != nil {
			if err := a.readTotals(m); err != nil {
				require.ErrorIs(t, err, ErrAnswer)
			}
		}
	})
}
