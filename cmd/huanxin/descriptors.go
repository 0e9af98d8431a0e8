package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"

	"go.uber.org/zap"

	"huanxin/config"
)

// spareDescriptors are for what is no connection of a listener: the journal, snapshots, the cold log, PostgreSQL, the operator's
// socket, and whoever looks.
const spareDescriptors = 256

// openFiles raises the limit of open files to what the system allows, and refuses to serve when that is less than the configured
// connections can take: a switch that is out of descriptors can neither accept a till nor write a snapshot, and it would be so only
// on the day when everybody comes.
func openFiles(cfg *config.Config, log *zap.Logger) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	if limit.Cur < limit.Max && !cfg.Drill.FewDescriptors {
		raised := limit
		raised.Cur = raised.Max
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err != nil {
			log.Warn("limit of open files could not be raised", zap.Error(err))
		} else {
			limit = raised
		}
	}
	need, parts := neededDescriptors(cfg)
	if uint64(need) <= limit.Cur {
		return nil
	}
	err := fmt.Errorf("文件描述符不足 open files: the limit is %d and the settings may need %d (%s): raise it (LimitNOFILE= of the service, ulimit -Hn), "+
		"or lower these connections", limit.Cur, need, parts)
	if cfg.Drill.FewDescriptors {
		log.Warn("drill.few-descriptors: serving all the same", zap.Error(err))
		return nil
	}
	return &exitError{2, err}
}

// neededDescriptors is how many the settings may take, and how that is made up.
func neededDescriptors(cfg *config.Config) (need int, parts string) {
	var text []string
	add := func(key string, n int) {
		need += n
		text = append(text, fmt.Sprintf("%s %d", key, n))
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Listeners)) {
		add("listeners."+name+".connections", cfg.Listeners[name].Connections)
	}
	add("http.connections", cfg.HTTP.Connections)
	for _, name := range slices.Sorted(maps.Keys(cfg.Hosts)) {
		add("hosts."+name+".connections", cfg.Hosts[name].Connections)
	}
	add("everything else", spareDescriptors)
	return need, strings.Join(text, ", ")
}
