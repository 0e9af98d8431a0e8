package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"huanxin/switch/keys/block"
	"huanxin/switch/keys/hsm"
	"huanxin/switch/keys/mac"
	"huanxin/switch/keys/soft"
	"huanxin/switch/keys/store"
)

func newKeysCeremonyCommand() *cobra.Command {
	f := keyActFlags{two: true}
	var a algorithmFlags
	var parts int
	cmd := &cobra.Command{
		Use:   "ceremony LABEL --algorithm ALG --by NAME --second NAME",
		Short: "密钥仪式 – form a key of components that no one person knows all of",
		Long: `Forms a key of two or three components, XOR-ed inside the module. Two named persons take turns; each enters a component in
hexadecimal that the other does not see, and compares its check value with the paper. On a terminal nothing is echoed; otherwise each
line of standard input is a component, with its check value behind a blank where the paper has one.

` + labelHelp,
		Args: arguments(1, 1, "one label"),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := a.wanted(args[0])
			if err != nil {
				return err
			}
			if parts < 2 || parts > 3 {
				return badInput("--components is 2 or 3")
			}
			if w.Length == 0 {
				w.Length = w.Algorithm.DefaultLength()
			}
			if err := f.check(); err != nil {
				return err
			}
			c := ceremony{cmd: cmd, wanted: w, persons: [2]string{f.by, f.second}}
			defer c.wipe()
			for i := range parts {
				if err := c.take(i, parts); err != nil {
					return err
				}
			}
			w.Detail = fmt.Sprintf("%d components", parts)
			var r store.Record
			s, taken, err := f.run(cmd, func(_ *store.Store, e *store.Edit) (err error) {
				r, err = e.Form(w, c.components...)
				return err
			})
			if err != nil {
				return err
			}
			return f.printKey(cmd, "已合成 formed", s, r, taken)
		},
	}
	f.add(cmd)
	a.add(cmd)
	cmd.Flags().IntVar(&parts, "components", 2, "分量数 2 or 3")
	return cmd
}

// ceremony is one under way.
type ceremony struct {
	cmd        *cobra.Command
	wanted     store.Wanted
	persons    [2]string
	lines      *bufio.Reader
	components [][]byte
}

func (c *ceremony) wipe() {
	for _, component := range c.components {
		clear(component)
	}
}

// take reads one component and shows its check value.
func (c *ceremony) take(i, of int) error {
	screen := c.cmd.ErrOrStderr()
	person, other := c.persons[i%2], c.persons[(i+1)%2]
	fmt.Fprintf(screen, "%s：请输入第 %d/%d 分量（%d 个十六进制字符），%s 请回避 – component %d of %d, %d hexadecimal digits; %s looks away: ",
		person, i+1, of, 2*c.wanted.Length, other, i+1, of, 2*c.wanted.Length, other)
	line, terminal, err := c.line()
	defer clear(line)
	fmt.Fprintln(screen)
	if err != nil {
		return badInput("component %d: %w", i+1, err)
	}
	text, paper, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
	component, err := hexBytes(text)
	if err != nil || len(component) != c.wanted.Length {
		clear(component)
		return badInput("component %d: want %d hexadecimal digits", i+1, 2*c.wanted.Length)
	}
	c.components = append(c.components, component)
	kcv, err := componentKCV(c.wanted.Algorithm, component)
	if err != nil {
		return badInput("component %d: %w", i+1, err)
	}
	fmt.Fprintf(screen, "第 %d 分量校验值 – check value of component %d: %s\n", i+1, i+1, kcv)
	if paper = strings.TrimSpace(paper); paper != "" && (len(paper) < 4 || !strings.HasPrefix(kcv, strings.ToUpper(paper))) {
		return fmt.Errorf("component %d: its check value is %s, not the one of the paper", i+1, kcv)
	}
	if !terminal {
		return nil
	}
	fmt.Fprintf(screen, "%s：与纸面一致吗？(y/n) – does it agree with the paper? ", person)
	answer, err := c.reader().ReadString('\n')
	if err != nil || !strings.EqualFold(strings.TrimSpace(answer), "y") {
		return errors.New("the ceremony was ended: the check value does not agree")
	}
	return nil
}

func (c *ceremony) reader() *bufio.Reader {
	if c.lines == nil {
		c.lines = bufio.NewReader(io.LimitReader(c.cmd.InOrStdin(), maxSecretLine))
	}
	return c.lines
}

// line reads one line; on a terminal it is not echoed.
func (c *ceremony) line() (line []byte, terminal bool, err error) {
	if in, ok := c.cmd.InOrStdin().(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		line, err = term.ReadPassword(int(in.Fd()))
		return line, true, err
	}
	line, err = c.reader().ReadBytes('\n')
	if errors.Is(err, io.EOF) && len(line) > 0 {
		err = nil
	}
	return line, false, err
}

// componentKCV is the check value of a component, by the cipher of the key.
func componentKCV(a hsm.Algorithm, component []byte) (string, error) {
	c := block.DES
	switch a {
	case hsm.HMAC: // as hsm.Info has it: the code of no data
		k, err := mac.New(mac.Config{Algorithm: mac.HMACSHA256}, component)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%X", k.Append(nil, nil)[:hsm.KCVSize]), nil
	case hsm.AES:
		c = block.AES
	case hsm.SM4:
		c, component = block.SM4, component[:16]
	}
	kcv, err := block.KCV(c, component, hsm.KCVSize)
	return fmt.Sprintf("%X", kcv), err
}

func newKeysLMKCommand() *cobra.Command {
	var national bool
	cmd := &cobra.Command{
		Use:   "lmk",
		Short: "生成本地主密钥 – draw a local master key for the environment",
		Long: `Prints a new local master key in clear, on one line, as HUANXIN_LMK and HUANXIN_LMK_NEXT take it. It is for installations whose secret
manager puts it into the environment; where the key is in a file, the switch makes it and huanxin keys rotate lmk changes it.`,
		Args: arguments(0, 0, "flags only"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			lmk, err := soft.GenerateLMK(modeOf(national), rand.Reader)
			if err != nil {
				return err
			}
			text := append(lmk.AppendSecret(nil), '\n')
			defer clear(text)
			fmt.Fprintln(cmd.ErrOrStderr(), "警告：以下为明文主密钥，请直接存入密钥管理系统 – warning: this is a master key in clear; put it into the secret manager, and "+
				"nowhere else")
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	cmd.Flags().BoolVar(&national, "national", false, "国密 for SM4-GCM")
	return cmd
}
