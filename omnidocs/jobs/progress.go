package jobs

import (
	"math"
	"time"
)

// Progress says how far a job has come.
type Progress struct {
	// Documents is the number of documents, DocumentsDone of those that have ended, DocumentsFailed of those among them that have an error of their own.
	Documents, DocumentsDone, DocumentsFailed int
	// Pages is the number of pages of the documents that have been opened. PagesExpected adds those of the others, at the average of these.
	Pages, PagesExpected int
	// Done is the number of pages that have ended. Failed of them have an error, Resumed of them had been read before.
	Done, Failed, Resumed int
	// Rate is how many pages are read in a second, of late: an average that forgets half of what was in 40 seconds. Zero means that it is not known yet. Pages
	// that had been read before are not in it.
	Rate float64
	// Elapsed is the time since the job began, Remaining what Rate and PagesExpected leave to expect. Zero means that it is not known.
	Elapsed, Remaining time.Duration
	// Document is the id of the document that this is about, Page the page that has ended; -1 when it is the document that has.
	Document string
	Page     int
}

// memory is how long the average of the rate remembers: after that time a page weighs 1/e.
const memory = 58 * time.Second

// meter counts for [Progress].
type meter struct {
	Progress
	now         func() time.Time
	start, last time.Time
	opened      int
	pages, time float64 // pages that were read and the seconds in which, both fading
}

func newMeter(documents int, now func() time.Time) *meter {
	t := now()
	return &meter{Progress: Progress{Documents: documents}, now: now, start: t, last: t}
}

func (m *meter) open(pages int) {
	m.opened++
	m.Pages += pages
}

func (m *meter) page(document string, p PageOutcome) Progress {
	m.Done++
	if p.Err != nil {
		m.Failed++
	}
	if p.Resumed {
		m.Resumed++
	}
	now := m.now()
	if p.Attempts > 0 {
		passed := now.Sub(m.last)
		fade := math.Exp(-passed.Seconds() / memory.Seconds())
		m.pages = m.pages*fade + 1
		m.time = m.time*fade + passed.Seconds()
		m.Rate = m.pages / max(m.time, 1e-9)
	}
	m.last = now // what resumed pages took is not counted either
	return m.say(document, p.Page)
}

func (m *meter) document(id string, failed bool) Progress {
	m.DocumentsDone++
	if failed {
		m.DocumentsFailed++
	}
	return m.say(id, -1)
}

func (m *meter) say(document string, page int) Progress {
	p := m.Progress
	p.Document, p.Page = document, page
	p.Elapsed = m.now().Sub(m.start)
	p.PagesExpected = p.Pages
	if m.opened > 0 {
		p.PagesExpected += int(math.Round(float64(m.Documents-m.opened) * float64(m.Pages) / float64(m.opened)))
	}
	if p.Rate > 0 {
		p.Remaining = time.Duration(float64(p.PagesExpected-p.Done) / p.Rate * float64(time.Second))
	}
	return p
}
