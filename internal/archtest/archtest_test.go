package archtest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestImportsRunDownwardAndCoreIsPure(t *testing.T) {
	files, err := Read("../..")
	require.NoError(t, err)
	require.Greater(t, len(files), 20, "the tree was not found")
	require.Empty(t, Violations(files))
}

func TestSwitchHoldsNoGoFilesOfItsOwn(t *testing.T) {
	files, err := Read("../..")
	require.NoError(t, err)
	for _, file := range files {
		require.NotEqual(t, "switch", file.Package, "%s: switch is a keyword, its folder holds packages only", file.Path)
	}
}

// TestRulesFindWhatTheyForbid shows each rule a file that breaks it.
func TestRulesFindWhatTheyForbid(t *testing.T) {
	for name, c := range map[string]struct {
		path, text, want string
	}{
		"core imports shell":        {"switch/engine/x.go", `import _ "huanxin/switch/journal"`, "lies above it"},
		"core sub-package too":      {"subsidy/policy/x.go", `import _ "huanxin/switch/wire"`, "lies above it"},
		"money imports core":        {"internal/money/x.go", `import _ "huanxin/subsidy"`, "lies above it"},
		"shell imports program":     {"switch/host/x.go", `import _ "huanxin/internal/drill"`, "lies above it"},
		"shell reads configuration": {"switch/host/x.go", `import _ "huanxin/config"`, "only cmd reads the configuration"},
		"program beside cmd, too":   {"internal/drill/x.go", `import _ "huanxin/config"`, "only cmd reads the configuration"},
		"shell reads shipped files": {"switch/terminal/x.go", `import _ "huanxin/config/dialects"`, "hand them down"},
		"library imports program":   {"internal/drill/x.go", `import _ "huanxin/cmd/simulator/till"`, "end of the road"},
		"test imports program":      {"cmd/huanxin/x_test.go", `import _ "huanxin/cmd/simulator"`, "end of the road"},
		"core opens files":          {"risk/geo/x.go", `import _ "os"`, "core imports os"},
		"core opens sockets":        {"subsidy/x.go", `import _ "net/http"`, "core imports net/http"},
		"core draws":                {"risk/x.go", `import _ "math/rand/v2"`, "core imports math/rand/v2"},
		"core logs":                 {"settlement/x.go", `import _ "go.uber.org/zap"`, "core imports go.uber.org/zap"},
		"core reads the clock":      {"switch/engine/x.go", `import clock "time"; var _ = clock.Now`, "core uses time.Now"},
		"core starts a goroutine":   {"subsidy/x.go", `func f() { go f() }`, "core starts a goroutine"},
		"driver outside its owner":  {"switch/projection/x.go", `import _ "github.com/jackc/pgx/v5/pgxpool"`, "owns the driver"},
		"driver in a test":          {"switch/projection/x_test.go", `import _ "github.com/jackc/pgx/v5"`, "owns the driver"},
		"folder nobody designed":    {"internal/util/x.go", ``, "no layer is named"},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := parse(c.path, []byte("package x\n"+c.text+"\n"))
			require.NoError(t, err)
			found := Violations([]File{file})
			require.NotEmpty(t, found)
			require.Contains(t, found[0], c.want)
		})
	}
	long := File{Path: "subsidy/x.go", Package: "subsidy", Lines: 1501}
	require.Contains(t, Violations([]File{long})[0], "look for the second idea")
}

func TestRulesAllowWhatTheDesignNeeds(t *testing.T) {
	for path, text := range map[string]string{
		"switch/engine/x.go":       `import (_ "huanxin/subsidy"; _ "huanxin/internal/money"; _ "time")`,
		"switch/engine/x_test.go":  `import (_ "os"; "time"); var _ = time.Now`,
		"switch/host/x.go":         `import (_ "huanxin/switch/wire"; _ "net"; _ "time"; _ "huanxin/switch/engine")`,
		"settlement/job/x.go":      `import (_ "os"; _ "huanxin/settlement")`,
		"cmd/huanxin/x.go":         `import (_ "huanxin/config"; _ "huanxin/switch/server")`,
		"internal/postgres/x.go":   `import _ "github.com/jackc/pgx/v5"`,
		"internal/postgres/a/x.go": `import _ "github.com/jackc/pgx/v5"`,
		"config/dialects/x.go":     `import _ "embed"`,
		"internal/drill/x.go":      `import (_ "huanxin/config/programmes"; _ "huanxin/internal/simulator/till")`,
		"cmd/simulator/x.go":       `import _ "huanxin/internal/simulator/load"`,
	} {
		file, err := parse(path, []byte("package x\n"+text+"\n"))
		require.NoError(t, err)
		require.Empty(t, Violations([]File{file}))
	}
}
