package jetstream

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnidocs/omnidocs/omnidocs"
	"github.com/omnidocs/omnidocs/omnidocs/crosscheck"
	"github.com/omnidocs/omnidocs/textextraction"
)

// TestPageOptionsTravel sets every field of textextraction.Options that is no function: what the type gets later must travel too.
func TestPageOptionsTravel(t *testing.T) {
	var o textextraction.Options
	fill(t, reflect.ValueOf(&o).Elem())
	data, err := json.Marshal(PageOptions(o))
	require.NoError(t, err)
	var back PageOptions
	require.NoError(t, json.Unmarshal(data, &back))
	require.Equal(t, PageOptions(o), back)
	require.ErrorContains(t, json.Unmarshal([]byte(`{"format":"markdown","color":1}`), &back), "color")
}

func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	for field, value := range v.Fields() {
		switch value.Kind() {
		case reflect.Func:
		case reflect.Struct:
			fill(t, value)
		case reflect.String:
			value.SetString("x")
		case reflect.Bool:
			value.SetBool(true)
		case reflect.Int:
			value.SetInt(1)
		case reflect.Uint64:
			value.SetUint(1)
		case reflect.Float64:
			value.SetFloat(0.5)
		default:
			t.Fatalf("%s is a %v: teach this test about it, and PageOptions", field.Name, value.Kind())
		}
	}
}

// TestMessages writes each message and reads it again.
func TestMessages(t *testing.T) {
	options, err := JobOptions{Page: PageOptions{Format: textextraction.HTML}}.withDefaults()
	require.NoError(t, err)
	job := Job{Version: 1, ID: "j", State: Paused, Created: time.Unix(1, 0).UTC(), Documents: 3, Sealed: true, Options: options}
	task := Task{Version: 1, Type: TaskPages, Job: "j", Document: 1, ID: "d", Source: File("/x"), First: 2, Last: 4, Tries: 1, Suspect: true}
	there(t, job)
	there(t, task)
	there(t, Entries{
		Version: 1, Opened: []Opened{{ID: "d", Source: URL("https://x"), Fault: &Fault{Message: "m", Kind: "image"}}},
		Outcomes: []Outcome{{Page: 3, Key: "k", Check: &crosscheck.Report{}, Attempts: 1, Read: 1.5, Worker: "w"}},
	})
	there(t, DeadLetter{Version: 1, Job: "j", Task: &task, Fault: Fault{Message: "<&>"}, Time: time.Unix(1, 0).UTC()})
	there(t, StoredResults{Version: 1, Results: []StoredResult{{Object: "o"}, {Result: json.RawMessage(`"<&>"`)}}})
	sum := tally{Version: 1, Ended: 3}
	sum.All.open(0, 1)
	sum.All.add(0, 0)
	sum.All.open(1, 9)
	sum.All.add(1, 8)
	there(t, sum)
	_, err = encode(StoredResults{Version: 1, Results: []StoredResult{{}}})
	require.ErrorIs(t, err, ErrMessage)
	_, err = decode[Entries]([]byte(`{"v":1,"outcomes":[{"document":0,"page":0}]}`))
	require.ErrorIs(t, err, ErrMessage)
	_, err = decode[Entries]([]byte(`{"v":1}`))
	require.ErrorIs(t, err, ErrMessage)
	_, err = decode[Job]([]byte(`{"v":1,"id":"j","state":"asleep","created":"2026-01-01T00:00:00Z","documents":0,"sealed":false,"options":{}}`))
	require.ErrorContains(t, err, "asleep")
}

func there[T message](t *testing.T, m T) {
	t.Helper()
	data, err := encode(m)
	require.NoError(t, err)
	back, err := decode[T](data)
	require.NoError(t, err)
	require.Equal(t, m, back)
}

// TestOptions refuses what is out of range.
func TestOptions(t *testing.T) {
	for _, o := range []JobOptions{{Attempts: -1}, {Workers: -1}, {PagesPerTask: -1}, {PageTimeout: -1}, {Priority: "urgent"}, {Load: loadDPI(10)}} {
		_, err := o.withDefaults()
		require.ErrorIs(t, err, ErrConfig)
	}
	secret := JobOptions{}
	secret.Load.Password = "secret"
	_, err := secret.withDefaults()
	require.ErrorContains(t, err, "do not travel")
	for _, c := range []Config{{Name: "a.b"}, {Replicas: 9}, {AckWait: 1}, {KeepResults: -1}} {
		_, err := c.withDefaults()
		require.ErrorIs(t, err, ErrConfig)
	}
	for _, o := range []WorkerOptions{{Parallel: -1}, {Prefetch: -1}, {CostPerHour: -1}, {DrainTimeout: -1}} {
		_, err := o.withDefaults()
		require.ErrorIs(t, err, ErrConfig)
	}
}

func loadDPI(dpi int) (o omnidocs.LoadOptions) {
	o.DPI = dpi
	return o
}

// TestStatus has pages that end one a second.
func TestStatus(t *testing.T) {
	start := time.Unix(1000, 0)
	job := Job{ID: "j", Created: start, Documents: 4, Sealed: true}
	sum := tally{}
	at := start
	opened := Entries{Opened: []Opened{{Pages: 50}, {Document: 1, Fault: &Fault{}}}}
	sum.add(record{seq: 1, time: at, Entries: opened})
	for i := range 20 {
		at = at.Add(time.Second)
		sum.add(record{seq: uint64(2 + i), time: at, Entries: Entries{Outcomes: []Outcome{{Page: i, Read: 2, Cost: 0.5}}}})
	}
	// What comes of a page again, or of a document, does not count, nor does a page that the document does not have.
	again := Entries{Opened: opened.Opened, Outcomes: []Outcome{{Page: 3, Read: 9, Fault: &Fault{}}, {Page: 50}, {Document: 1}}}
	require.Zero(t, sum.add(record{seq: 30, time: at, Entries: again}))
	s := newStatus(job, sum, at)
	require.InDelta(t, 1, s.Rate, 0.05)
	require.Equal(t, 100, s.PagesExpected)
	require.InDelta(t, 80, s.Remaining.Seconds(), 4)
	require.InDelta(t, 10, s.Cost, 1e-9)
	require.Equal(t, 40*time.Second, s.ReadTime)
	require.Equal(t, 1, s.DocumentsFailed)
	require.False(t, s.Done())
	later := newStatus(job, sum, at.Add(time.Hour))
	require.Less(t, later.Rate, 1e-9)
	require.Zero(t, later.Remaining)
}
