package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
)

// ErrClosed is matched by the errors of a journal that has been closed.
var ErrClosed = errors.New("journal: it is closed")

// Journal is an open journal. Its methods may be called from several goroutines. Any number of processes may have the same
// folder open, and one process may have it open several times.
type Journal struct {
	dir string

	mu      sync.Mutex
	own     *segment            // the file that this Journal appends to
	others  map[string]*segment // by path: the files of others, as far as they have been read
	results map[Key]place
	names   map[Key]Key // of further names
	deaths  map[Key]Deaths
	damaged int
	closed  bool

	syncing sync.Mutex
	synced  int64 // up to where own is on the disk
}

// place is where a result's line is.
type place struct {
	of     *segment
	at     int64
	length int
}

// Deaths counts the processes that died while they read something.
type Deaths struct {
	// Beside counts those that read other things at the time, which may have been what killed them.
	Beside int
	// Alone counts those that read nothing else.
	Alone int
}

// Open opens the journal in a folder, which is made if it is not there, and reads what others have written into it. What the
// processes that have died had begun is counted now.
func Open(dir string) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{
		dir: dir, others: map[string]*segment{}, results: map[Key]place{}, names: map[Key]Key{}, deaths: map[Key]Deaths{},
	}
	if err := j.takeOwn(); err != nil {
		return nil, fmt.Errorf("journal: open %s: %w", dir, err)
	}
	if err := j.Refresh(); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return j, nil
}

// Get returns what was put under a key, or under one that it is a further name of; ok is false if nothing was. A record that has been
// damaged since counts as nothing.
func (j *Journal) Get(key Key) (data []byte, ok bool, err error) {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil, false, ErrClosed
	}
	if other, named := j.names[key]; named {
		key = other
	}
	p, ok := j.results[key]
	j.mu.Unlock()
	if !ok {
		return nil, false, nil
	}
	line := make([]byte, p.length)
	if _, err := p.of.file.ReadAt(line, p.at); err != nil {
		return nil, false, fmt.Errorf("journal: read %s: %w", p.of.path, err)
	}
	r, err := parse(line)
	if err != nil || r.kind != put || r.key != key {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.damaged++
		delete(j.results, key)
		return nil, false, nil //nolint:nilerr // the caller makes it anew, as if it had never been there
	}
	return r.data, true, nil
}

// Put keeps data, which has no line breaks, under a key and any number of further names. When it returns, it is on the disk. A later Put of
// the same key takes the place of an earlier one.
func (j *Journal) Put(key Key, data []byte, names ...Key) error {
	if bytes.IndexByte(data, '\n') >= 0 {
		return errors.New("journal: put: the data has line breaks; encode it as JSON without indentation")
	}
	records := []record{{put, key, data}}
	for _, name := range names {
		records = append(records, record{also, name, []byte(key.String())})
	}
	upTo, err := j.append(records...)
	if err != nil {
		return err
	}
	return j.sync(upTo)
}

// Name makes name another name of a key. It is not waited until that is on the disk: a name that is lost is found again.
func (j *Journal) Name(key, name Key) error {
	j.mu.Lock()
	known := j.names[name] == key
	j.mu.Unlock()
	if known {
		return nil
	}
	_, err := j.append(record{also, name, []byte(key.String())})
	return err
}

// Begin says that the reading of something begins; isAlone, that nothing else is being read until it ends. What began must end,
// with Put or End, or count as a death.
func (j *Journal) Begin(key Key, isAlone bool) error {
	k := begin
	if isAlone {
		k = alone
	}
	_, err := j.append(record{kind: k, key: key})
	return err
}

// End says that the reading of something ended without a result, or that its deaths shall not count any more.
func (j *Journal) End(key Key) error {
	_, err := j.append(record{kind: end, key: key})
	return err
}

// Deaths returns how many processes died while they read something, since it last ended in another way.
func (j *Journal) Deaths(key Key) Deaths {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.deaths[key]
}

// Len returns the number of results.
func (j *Journal) Len() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.results)
}

// Damaged returns how many records were passed over because they are damaged. One that was cut short when its process was killed is not
// among them.
func (j *Journal) Damaged() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.damaged
}

// Close ends what was begun and has not ended, and closes the journal. It may be called again. On a full disk that cannot be written, which is an error: what had begun then counts
// as a death in the next journal, one too many.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	var unfinished []record
	for key := range j.own.running {
		unfinished = append(unfinished, record{kind: end, key: key})
	}
	j.mu.Unlock()
	_, err := j.append(unfinished...)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	err = errors.Join(err, j.own.file.Sync(), j.own.close())
	for _, s := range j.others {
		err = errors.Join(err, s.close())
	}
	if err != nil {
		return fmt.Errorf("journal: close %s: %w", j.dir, err)
	}
	return nil
}

// note takes a record into account that is in a segment at the offset given, with its length there.
func (j *Journal) note(s *segment, r record, at int64, length int) {
	switch r.kind {
	case begin, alone:
		s.running[r.key] = r.kind
	case put:
		j.results[r.key] = place{s, at, length}
		delete(s.running, r.key)
		delete(j.deaths, r.key)
	case end:
		delete(s.running, r.key)
		delete(j.deaths, r.key)
	case also:
		if key, err := ParseKey(string(r.data)); err == nil {
			j.names[r.key] = key
		}
	case died:
		delete(s.running, r.key)
		d := j.deaths[r.key]
		if kind(r.data) == alone {
			d.Alone++
		} else {
			d.Beside++
		}
		j.deaths[r.key] = d
	}
}
