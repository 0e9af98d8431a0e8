// Package archtest holds the rules of the source tree that a compiler does not: imports run downward only, core packages
// are pure, one package owns the database driver and one program the configuration.
//
// It has no use at run time; its test reads every Go file of the module.
package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Module is the import path of the tree.
const Module = "huanxin"

// File is what the rules need to know of one Go file.
type File struct {
	Path    string // slash-separated, relative to the root of the tree
	Package string // its folder: "switch/engine"; "." is the root
	Test    bool
	Built   bool // generated
	Lines   int
	Imports []string
	Calls   []string // uses of an imported package's names, as "time.Now"
	Starts  bool     // starts a goroutine
}

// Read parses every Go file below root, except hidden folders, testdata and folders that hold a state.
func Read(root string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		if entry.IsDir() {
			base := entry.Name()
			if relative != "." && (strings.HasPrefix(base, ".") || base == "testdata" || relative == "var" || relative == "bin") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(relative, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file, err := parse(relative, text)
		if err != nil {
			return err
		}
		files = append(files, file)
		return nil
	})
	return files, err
}

func parse(name string, text []byte) (File, error) {
	tree, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return File{}, fmt.Errorf("parse %s: %w", name, err)
	}
	file := File{
		Path: name, Package: path.Dir(name), Test: strings.HasSuffix(name, "_test.go"),
		Built: ast.IsGenerated(tree), Lines: strings.Count(string(text), "\n"),
	}
	names := map[string]string{} // local name → import path
	for _, spec := range tree.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return File{}, fmt.Errorf("parse %s: import %s: %w", name, spec.Path.Value, err)
		}
		file.Imports = append(file.Imports, imported)
		local := path.Base(imported)
		if spec.Name != nil {
			local = spec.Name.Name
		}
		names[local] = imported
	}
	ast.Inspect(tree, func(node ast.Node) bool {
		if _, ok := node.(*ast.GoStmt); ok {
			file.Starts = true
		}
		selector, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := selector.X.(*ast.Ident); ok && names[x.Name] != "" {
			file.Calls = append(file.Calls, names[x.Name]+"."+selector.Sel.Name)
		}
		return true
	})
	return file, nil
}

// Layer is the height of a package: a package imports only packages of its own layer or below.
type Layer int

// The layers, from the bottom.
const (
	Money Layer = iota
	Core
	Shell
	Program
	Unplaced // no rule knows the package: the tree has a folder that the design does not name
)

var (
	core = []string{
		"switch/iso8583", "switch/event", "switch/engine", "switch/ledger", "subsidy", "risk", "settlement", "internal/receipt",
		"switch/trail",
	}
	// shellInsideCore are shell packages whose folder lies below a core one.
	shellInsideCore = []string{"settlement/job"}
	shell           = []string{
		"switch/wire", "switch/transport", "switch/keys", "switch/outbox", "switch/stage", "switch/limit", "switch/terminal", "switch/host", "switch/wallet", "switch/gateway",
		"switch/journal", "switch/coldlog", "switch/check", "switch/server", "switch/projection", "switch/sim", "switch/control", "internal/postgres", "internal/doze", "portal", "config",
	}
	// programs are started by a person or by make, with the libraries that belong to them alone.
	programs = []string{"cmd", "internal/drill", "internal/bench", "internal/process", "internal/scrape", "internal/simulator", "internal/archtest"}
)

func below(name string, folders []string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool {
		return name == folder || strings.HasPrefix(name, folder+"/")
	})
}

// LayerOf places a package by its folder.
func LayerOf(name string) Layer {
	switch {
	case name == "internal/money", name == "internal/flat", name == "internal/mutant":
		return Money
	case below(name, shellInsideCore):
		return Shell
	case below(name, core):
		return Core
	case below(name, shell):
		return Shell
	case below(name, programs):
		return Program
	}
	return Unplaced
}

// driverOwners may import the database driver: the one package of the product, and a peer of the bench, which is what
// somebody else would write.
var driverOwners = []string{"internal/postgres", "internal/bench/naive"}

const maxLines = 1500

// impure are packages that core code must not import: the world, the clock's machinery, chance and logs.
var impure = []string{
	"os", "net", "math/rand", "crypto/rand", "log", "io/ioutil", "os/exec", "syscall", "sync", "runtime",
	"go.uber.org/zap", "github.com/prometheus/client_golang", "github.com/jackc/pgx/v5", "github.com/nats-io",
}

// clock are functions of the standard library that read or wait for the clock.
var clock = []string{
	"time.Now", "time.Since", "time.Until", "time.Sleep", "time.After", "time.AfterFunc", "time.Tick", "time.NewTimer",
	"time.NewTicker", "time.Local", "time.LoadLocation",
}

// Violations applies every rule to the files and says, one line each, what breaks one.
func Violations(files []File) []string {
	var list []string
	for _, file := range files {
		list = append(list, violationsOf(file)...)
	}
	slices.Sort(list)
	return list
}

func violationsOf(file File) (list []string) {
	refuse := func(format string, args ...any) {
		list = append(list, file.Path+": "+fmt.Sprintf(format, args...))
	}
	layer := LayerOf(file.Package)
	if layer == Unplaced {
		refuse("no layer is named for folder %s", file.Package)
	}
	if file.Lines > maxLines && !file.Built {
		refuse("%d lines, at most %d: look for the second idea", file.Lines, maxLines)
	}
	for _, imported := range file.Imports {
		if below(imported, []string{"github.com/jackc/pgx/v5", "github.com/jackc/pgx"}) && !below(file.Package, driverOwners) {
			refuse("imports %s: internal/postgres owns the driver", imported)
		}
		if below(imported, []string{Module + "/cmd"}) {
			refuse("imports %s: a program is the end of the road, what others need lies in a library", imported)
		}
		if file.Test {
			continue
		}
		if inside, ok := strings.CutPrefix(imported, Module+"/"); ok {
			checkImport(file, layer, inside, refuse)
		}
		if layer <= Core && below(imported, impure) && !file.Built {
			refuse("core imports %s", imported)
		}
	}
	if layer <= Core && !file.Test {
		if file.Starts {
			refuse("core starts a goroutine")
		}
		for _, call := range file.Calls {
			if slices.Contains(clock, call) {
				refuse("core uses %s: time arrives in the input", call)
			}
		}
	}
	return list
}

func checkImport(file File, layer Layer, imported string, refuse func(string, ...any)) {
	if target := LayerOf(imported); target > layer {
		refuse("imports %s, which lies above it", imported)
	}
	if imported == "config" && !below(file.Package, []string{"cmd"}) {
		refuse("imports %s: only cmd reads the configuration", imported)
	}
	if below(imported, []string{"config/dialects", "config/programmes"}) && layer < Program && imported != file.Package {
		refuse("imports %s: the programs read shipped files and hand them down", imported)
	}
}
