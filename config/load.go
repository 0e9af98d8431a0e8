package config

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
)

// Manual is the configuration file as shipped, commented: what `huanxin serve` uses when it finds no file.
//
//go:embed huanxin.yaml
var Manual []byte

// DefaultFile is where a file is looked for when none is named.
const DefaultFile = "config/huanxin.yaml"

const envPrefix = "HUANXIN_"

// testPrefix begins the variables that tests hand down; they are no settings.
const testPrefix = envPrefix + "TEST_"

// ErrInvalid is wrapped by every refusal of Load; the text names the keys, one a line.
var ErrInvalid = errors.New("configuration refused")

var (
	envReplacer = strings.NewReplacer(".", "_", "-", "_")
	entryName   = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	mapIndex    = regexp.MustCompile(`\[([a-z][a-z0-9-]*)\]`) // the decoder writes hosts[unionpay] for hosts.unionpay
)

// Load reads the file, lays the environment over it and checks the whole. path is the value of --config, "" for none;
// environ has the form of os.Environ. The second result says where the settings came from.
func Load(path string, environ []string) (*Config, string, error) {
	text, origin, err := find(path)
	if err != nil {
		return nil, "", err
	}
	cfg, problems := parse(text, environ)
	if len(problems) == 0 {
		problems = cfg.check()
	}
	if len(problems) > 0 {
		slices.Sort(problems)
		return nil, "", fmt.Errorf("%w (%s):\n  %s", ErrInvalid, origin, strings.Join(problems, "\n  "))
	}
	return cfg, origin, nil
}

// find returns the text of the file in use. A file that was named must exist; the default one may be missing, but not
// unreadable.
func find(path string) (text []byte, origin string, err error) {
	if path != "" {
		if text, err = os.ReadFile(path); err != nil {
			return nil, "", fmt.Errorf("%w: --config: %w", ErrInvalid, err)
		}
		return text, path, nil
	}
	text, err = os.ReadFile(filepath.FromSlash(DefaultFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Manual, "built-in " + DefaultFile, nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return text, DefaultFile, nil
}

// parse returns the settings, or what is wrong with their form.
func parse(text []byte, environ []string) (*Config, []string) {
	v := viper.New()
	v.SetConfigType("yaml")
	v.SetEnvPrefix(strings.TrimSuffix(envPrefix, "_"))
	v.SetEnvKeyReplacer(envReplacer)
	if err := v.ReadConfig(bytes.NewReader(text)); err != nil {
		return nil, []string{err.Error()}
	}

	cfg := Defaults()
	problems := entries(v, &cfg)
	known := settings("", reflect.ValueOf(cfg))
	problems = append(problems, unknownKeys(v, known)...)
	for key, value := range known {
		v.SetDefault(key, value)
	}
	problems = append(problems, overrides(v, known, environ)...)
	if len(problems) > 0 {
		return nil, problems
	}

	var loaded Config
	err := v.UnmarshalExact(&loaded, func(d *mapstructure.DecoderConfig) {
		d.WeaklyTypedInput = false
		d.DecodeHook = mapstructure.ComposeDecodeHookFunc(refuseNumbers, mapstructure.StringToTimeDurationHookFunc(), readText)
	})
	if err != nil {
		return nil, decodeProblems(err)
	}
	return &loaded, nil
}

// entries replaces the named entries of cfg by those that the file has, each starting from its own defaults.
func entries(v *viper.Viper, cfg *Config) (problems []string) {
	names := func(section string) []string {
		raw := v.Get(section)
		named, ok := raw.(map[string]any)
		if !ok {
			problems = append(problems, section+": want named entries, each with its own settings")
			return nil
		}
		var list []string
		for name, entry := range named {
			if _, ok := entry.(map[string]any); !ok || !entryName.MatchString(name) {
				problems = append(problems, section+"."+name+": want a name of a-z, 0-9 and - with settings below it")
				continue
			}
			list = append(list, name)
		}
		return list
	}
	if v.InConfig("listeners") {
		cfg.Listeners = map[string]Listener{}
		for _, name := range names("listeners") {
			cfg.Listeners[name] = DefaultListener()
		}
	}
	if v.InConfig("hosts") {
		cfg.Hosts = map[string]Host{}
		for _, name := range names("hosts") {
			cfg.Hosts[name] = DefaultHost()
			if v.GetString("hosts."+name+".kind") == WalletHost {
				cfg.Hosts[name] = DefaultWallet()
			}
		}
	}
	return problems
}

// settings lists every key of a configuration with its value.
func settings(prefix string, value reflect.Value) map[string]any {
	list := map[string]any{}
	add := func(name string, v reflect.Value) {
		if v.Kind() == reflect.Struct || v.Kind() == reflect.Map {
			for k, leaf := range settings(prefix+name+".", v) {
				list[k] = leaf
			}
			return
		}
		list[prefix+name] = v.Interface()
	}
	if value.Kind() == reflect.Map {
		for _, name := range value.MapKeys() {
			add(name.String(), value.MapIndex(name))
		}
		return list
	}
	for i := range value.NumField() {
		add(value.Type().Field(i).Tag.Get("mapstructure"), value.Field(i))
	}
	return list
}

// unknownKeys names the keys of the file that are no setting. It runs before anything else has put keys into v.
func unknownKeys(v *viper.Viper, known map[string]any) (problems []string) {
	for _, key := range v.AllKeys() {
		if _, ok := known[key]; !ok && (v.Get(key) != nil || !isSection(key, known)) {
			problems = append(problems, key+": "+unknown(key))
		}
	}
	return problems
}

// unknown says what is wrong with a key that is no setting.
func unknown(key string) string {
	if key == "security" {
		return "is said for each listener now: listeners.NAME.security"
	}
	return "unknown key"
}

// isSection reports whether settings lie below key; an empty section (`log:` and nothing below) is legal.
func isSection(key string, known map[string]any) bool {
	for k := range known {
		if strings.HasPrefix(k, key+".") {
			return true
		}
	}
	return false
}

// secrets are variables that are read where they are needed and are never a setting.
var secrets = []string{"HUANXIN_LMK", "HUANXIN_LMK_NEXT"}

// overrides lays the environment over the file.
func overrides(v *viper.Viper, known map[string]any, environ []string) (problems []string) {
	byVariable := map[string]string{}
	for key := range known {
		byVariable[envPrefix+strings.ToUpper(envReplacer.Replace(key))] = key
	}
	for _, entry := range environ {
		variable, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(variable, envPrefix) || strings.HasPrefix(variable, testPrefix) || slices.Contains(secrets, variable) {
			continue
		}
		key, ok := byVariable[variable]
		if !ok {
			problems = append(problems, variable+": names no setting")
			continue
		}
		typed, err := typed(value, known[key])
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s (%s): %v", variable, key, err))
			continue
		}
		v.Set(key, typed)
	}
	return problems
}

// typed reads an override in the type of the setting. Durations and sizes stay text: the decoder reads them.
func typed(text string, like any) (any, error) {
	switch like.(type) {
	case []string:
		return strings.Split(text, ","), nil
	case []int:
		var list []int
		for part := range strings.SplitSeq(text, ",") {
			n, err := whole(part)
			if err != nil {
				return nil, err
			}
			list = append(list, n)
		}
		return list, nil
	case int:
		return whole(text)
	case bool:
		switch text {
		case "true", "false":
			return text == "true", nil
		}
		return nil, fmt.Errorf("%q: want true or false", text)
	}
	return text, nil
}

func whole(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", text)
	}
	return n, nil
}

// refuseNumbers keeps a bare number out of durations and sizes: 30 could be seconds or nanoseconds, bytes or KiB.
func refuseNumbers(from, to reflect.Type, data any) (any, error) {
	if from.Kind() == reflect.String || from == to {
		return data, nil
	}
	switch to {
	case reflect.TypeFor[time.Duration]():
		return nil, fmt.Errorf("%v is not a duration: want a number and a unit, such as 500ms, 15s or 5m", data)
	case reflect.TypeFor[Size]():
		return nil, fmt.Errorf("%v is not a size: want a whole number and a unit, such as 64KiB, 512MiB or 8GiB", data)
	case reflect.TypeFor[TimeOfDay]():
		return nil, fmt.Errorf("%v is not a time of day: want hh:mm in quotes, such as \"23:00\"", data)
	}
	return data, nil
}

// readText reads the types of this package.
func readText(from, to reflect.Type, data any) (any, error) {
	text, ok := data.(string)
	if !ok {
		return data, nil
	}
	switch to {
	case reflect.TypeFor[Size]():
		return ParseSize(text)
	case reflect.TypeFor[TimeOfDay]():
		return ParseTimeOfDay(text)
	}
	return data, nil
}

// decodeProblems splits the decoder's joined error into one line for each key.
func decodeProblems(err error) (problems []string) {
	var walk func(error)
	walk = func(err error) {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range joined.Unwrap() {
				walk(e)
			}
			return
		}
		if bad, ok := err.(*mapstructure.DecodeError); ok {
			problems = append(problems, mapIndex.ReplaceAllString(bad.Name(), ".$1")+": "+bad.Unwrap().Error())
			return
		}
		if inner := errors.Unwrap(err); inner != nil {
			walk(inner)
			return
		}
		problems = append(problems, err.Error())
	}
	walk(err)
	return problems
}
