package bench

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"huanxin/internal/bench/peer"
	"huanxin/internal/simulator/load"
)

// diskProbe does to the disk what the journal does – so many bytes into a file that is there already, behind those before,
// and a sync – at a small steady rate and for itself, and keeps the times: what the disk needs while everything else goes on.
type diskProbe struct {
	stop chan struct{}
	done chan struct{}
	file *os.File

	times load.Latencies // read after done
	err   error
}

// probeEvery is the distance of two syncs of the probe: three thousand in a minute, few beside thousands a second.
const probeEvery = 20 * time.Millisecond

// probeSize is that of its file, which is written again from the front when it is full.
const probeSize = 16 << 20

// startProbe begins in a file of dir, which must be on the file system of the journal.
func startProbe(dir string, bytes int) (*diskProbe, error) {
	file, err := os.Create(filepath.Join(dir, "probe"))
	if err != nil {
		return nil, err
	}
	if _, err = file.Write(make([]byte, probeSize)); err == nil {
		err = file.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(file.Name()))
	}
	p := &diskProbe{stop: make(chan struct{}), done: make(chan struct{}), file: file}
	go p.run(make([]byte, bytes))
	return p, nil
}

func (p *diskProbe) run(data []byte) {
	defer close(p.done)
	for i := range data {
		data[i] = byte(i * 131) // no zeros: a disk could make holes of them
	}
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for at := int64(0); ; at += int64(len(data)) {
		if at+int64(len(data)) > probeSize {
			at = 0
		}
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
		begun := time.Now()
		if _, p.err = p.file.WriteAt(data, at); p.err == nil {
			p.err = peer.Fdatasync(p.file)
		}
		if p.err != nil {
			return
		}
		p.times.Record(time.Since(begun))
	}
}

// end stops it and gives the times.
func (p *diskProbe) end() (*load.Latencies, error) {
	close(p.stop)
	<-p.done
	if err := p.file.Close(); p.err == nil {
		p.err = err
	}
	if err := os.Remove(p.file.Name()); p.err == nil {
		p.err = err
	}
	return &p.times, p.err
}
