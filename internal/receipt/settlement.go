package receipt

import (
	"fmt"
	"time"

	"huanxin/internal/money"
)

// Sums are one side's totals of a batch.
type Sums struct {
	Debit, Credit, Subsidy                money.Amount
	DebitCount, CreditCount, SubsidyCount uint32
}

// Settlement is the slip of a closed batch: what the till has counted, and when they differ what the switch has.
type Settlement struct {
	Merchant string // name
	DE42     string
	Terminal string
	Batch    uint32
	STAN     uint32
	At       time.Time

	Till, Switch Sums
	Equal        bool
}

// AppendText appends the slip to dst.
func (s *Settlement) AppendText(dst []byte) []byte {
	l := layout{dst: dst}
	l.rule('=')
	l.centre("焕新补贴 结算单")
	l.rule('-')
	l.pair("商户名称", s.Merchant)
	l.pair("商户编号", s.DE42)
	l.pair("终端编号", s.Terminal)
	l.pair("批次号", fmt.Sprintf("%06d", s.Batch))
	l.pair("凭证号", fmt.Sprintf("%06d", s.STAN))
	if !s.At.IsZero() {
		l.pair("日期时间", s.At.In(shanghai).Format("2006/01/02 15:04:05"))
	}
	l.rule('-')
	s.Till.print(&l, "")
	l.rule('-')
	if s.Equal {
		l.centre("对账平")
	} else {
		l.centre("对账不平 中心账：")
		s.Switch.print(&l, "中心")
	}
	l.rule('=')
	return l.dst
}

func (s *Sums) print(l *layout, whose string) {
	row := func(label string, count uint32, amount money.Amount) {
		l.pair(whose+label, fmt.Sprintf("%d笔 %s", count, Yuan(amount)))
	}
	row("消费", s.DebitCount, s.Debit)
	row("退货", s.CreditCount, s.Credit)
	row("补贴", s.SubsidyCount, s.Subsidy)
}
