package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"huanxin/switch/keys/store"
)

// secretFlags read what one command gets of secrets: from a file, from standard input or, for tests, from the command line.
type secretFlags struct {
	lines  *bufio.Reader // of standard input, shared by everything that is read from there
	warned bool
}

// maxSecretLine bounds a line of standard input and a file: more than any key block, and a message in hexadecimal.
const maxSecretLine = 1 << 20

// secretFlag is one of them.
type secretFlag struct {
	name  string
	value string
	file  string
	open  bool // it is no secret: data, or a key that lies wrapped
}

func (s *secretFlag) register(cmd *cobra.Command, name, usage string) {
	s.name = name
	cmd.Flags().StringVar(&s.value, name, "", usage+"，- 为标准输入的下一行 – hexadecimal; - is the next line of standard input")
	of := "从文件读取，- 为标准输入 – a file with it, of mode 0600; - is standard input"
	if s.open {
		of = "从文件读取 – a file with it"
	}
	cmd.Flags().StringVar(&s.file, name+"-file", "", of)
}

func (s *secretFlag) given(cmd *cobra.Command) bool {
	return cmd.Flags().Changed(s.name) || cmd.Flags().Changed(s.name+"-file")
}

// bytes are those of the flag. The caller wipes them.
func (s *secretFlags) bytes(cmd *cobra.Command, flag *secretFlag) ([]byte, error) {
	text, err := s.text(cmd, flag)
	if err != nil {
		return nil, err
	}
	raw, err := hexBytes(text)
	if err != nil {
		return nil, badInput("%s: --%s: %w", cmd.CommandPath(), flag.name, err)
	}
	return raw, nil
}

func (s *secretFlags) text(cmd *cobra.Command, flag *secretFlag) (string, error) {
	direct, file := cmd.Flags().Changed(flag.name), cmd.Flags().Changed(flag.name+"-file")
	switch {
	case direct && file:
		return "", badInput("%s: --%s and --%[2]s-file exclude each other", cmd.CommandPath(), flag.name)
	case !direct && !file && flag.open:
		return "", badInput("%s: --%s or --%[2]s-file is missing", cmd.CommandPath(), flag.name)
	case !direct && !file:
		text, err := s.line(cmd)
		if err != nil {
			return "", badInput("%s: --%s or --%[2]s-file is missing, and standard input has none: %w", cmd.CommandPath(), flag.name, err)
		}
		return text, nil
	case flag.value == "-" || flag.file == "-":
		return s.line(cmd)
	case file:
		text, err := s.file(cmd, flag)
		if err != nil {
			return "", badInput("%s: --%s-file: %w", cmd.CommandPath(), flag.name, err)
		}
		return text, nil
	}
	if !s.warned && !flag.open {
		s.warned = true
		fmt.Fprintln(cmd.ErrOrStderr(), "警告：命令行上的明文密钥或 PIN 会留在进程列表和历史记录里，仅限测试 – warning: a clear key or PIN on "+
			"the command line shows in the process list and in the shell's history: for tests only, else use a file or -")
	}
	return flag.value, nil
}

var errTooLong = fmt.Errorf("more than %d bytes", maxSecretLine)

// line is the next line of standard input. One that is too long is refused: the beginning of it is something else.
func (s *secretFlags) line(cmd *cobra.Command) (string, error) {
	if s.lines == nil {
		s.lines = bufio.NewReader(cmd.InOrStdin())
	}
	var line []byte
	defer func() { clear(line) }()
	for {
		part, err := s.lines.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxSecretLine {
			err = errTooLong
		}
		switch {
		case err == nil, errors.Is(err, io.EOF) && len(line) > 0:
			return strings.TrimSpace(string(line)), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", badInput("%s: read standard input: %w", cmd.CommandPath(), err)
		}
	}
}

// file reads a file. A secret's should be its owner's alone, as that of the local master key must; a clear key of a test may lie
// anywhere, as it may stand on the command line. Pipes and terminals have no mode that says anything.
func (s *secretFlags) file(cmd *cobra.Command, flag *secretFlag) (string, error) {
	file, err := os.Open(flag.file)
	if err != nil {
		return "", err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	if !flag.open && info.Mode().IsRegular() {
		if err := store.CheckGuarded(flag.file, info); err != nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "警告：他人可读取此文件，其中的密钥或 PIN 仅限测试 – warning: others can come by what is in this file, "+
				"so it is for tests only: %v\n", err)
		}
	}
	text, err := io.ReadAll(io.LimitReader(file, maxSecretLine+1))
	defer clear(text)
	if err != nil {
		return "", err
	}
	if len(text) > maxSecretLine {
		return "", errTooLong
	}
	return strings.TrimSpace(string(text)), nil
}

var errNotHex = errors.New("want an even number of hexadecimal digits")

// hexBytes reads hexadecimal with any blanks. Its error quotes nothing.
func hexBytes(text string) ([]byte, error) {
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text)
	raw, err := hex.DecodeString(text)
	if err != nil {
		clear(raw)
		return nil, errNotHex
	}
	return raw, nil
}

// noArgs refuses arguments without quoting them: one may be a key.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return badInput("%s: takes flags only, not %d arguments", cmd.CommandPath(), len(args))
	}
	return nil
}
