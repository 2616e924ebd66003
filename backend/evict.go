package backend

import (
	"context"
	"fmt"
)

// This file is the part of the scheduler that looks after memory: what there is no room for waits, and a page that has lost its slot
// begins again. That changes no page's text, which does not depend on when it is read.

// attempt runs an admission until the device has had memory for it: at once, then with no other page beside it, then with fewer
// pixels, as often as the request allows.
func (s *scheduler) attempt(j *job, admit func() error) error {
	alone := false
	again := func() error {
		s.forget(j)
		return j.prepare(s.model, s.limit)
	}
	for {
		plan := s.room.planner.PageOf(j.patches, j.layout)
		j.planned = plan
		var err error
		if s.room.takes(plan) {
			if err = s.room.enter(j.ctx, plan.Peak(), alone); err != nil {
				return err
			}
			if err = admit(); !exhausted(err) {
				s.room.keeps(plan.Left)
				return err
			}
			s.done(j)
			// What earlier pages have left may be what it lacked.
			if closeErr := s.caches.close(); closeErr != nil {
				return fmt.Errorf("backend: %w", closeErr)
			}
			if !alone {
				alone = true
				if err := again(); err != nil {
					return err
				}
				continue
			}
		}
		if !j.smaller() {
			return &OutOfMemoryError{Plan: s.plan, Page: &plan, Room: s.room.limit, Err: err}
		}
		if err := again(); err != nil {
			return err
		}
	}
}

// smaller halves the pixels of the page, if its request allows one more time.
func (j *job) smaller() bool {
	if j.request.OutOfMemoryRetries <= 0 {
		return false
	}
	pixels := j.page.width * j.page.height / 2
	if pixels < 1 {
		return false
	}
	j.request.OutOfMemoryRetries--
	j.request.MaxPixels = pixels
	j.request.MinPixels = min(max(1, j.request.MinPixels), pixels)
	return true
}

// makeWay sees that the cache has room for the next tokens of each page, or takes their slots away from those that came last.
func (s *scheduler) makeWay(ctx context.Context) error {
	for {
		tokens := 0
		for slot, j := range s.writing {
			if j != nil {
				tokens = max(tokens, min(s.cache.Length(slot)+s.room.planner.Ahead(), s.limit))
			}
		}
		n := s.count()
		if n == 0 || tokens <= s.cache.Capacity() || s.room.fits(len(s.writing), tokens) {
			return nil
		}
		switch {
		case n < len(s.writing): // empty slots cost as much as the others
			if err := s.fit(ctx, n); err != nil {
				return err
			}
		case n == 1:
			return nil // that is how little there is: the device decides
		default:
			s.evict(s.last())
		}
	}
}

// last is the slot of the page that came last.
func (s *scheduler) last() int {
	last := -1
	for slot, j := range s.writing {
		if j != nil && (last < 0 || j.watched.number > s.writing[last].watched.number) {
			last = slot
		}
	}
	return last
}

// evict takes a page's slot away. It begins again before those that have not begun.
func (s *scheduler) evict(slot int) {
	j := s.writing[slot]
	s.free(slot)
	s.restart(j)
}

// restart queues a page that has begun.
func (s *scheduler) restart(j *job) {
	j.page.guard.close()
	j.page.told.back(nil) // what it has told it tells again
	j.patches = nil
	s.stats.evicted(j.watched)
	s.again = append(s.again, j)
}

// exhaust goes on after the device has had no memory for the cache in the middle of something, and for newcomer, if that is not nil.
// The cache is given up; its pages begin again, half as many at a time. A page that was alone in it begins again once, and is then
// too large.
func (s *scheduler) exhaust(newcomer *job, err error) {
	var all []*job
	for _, j := range s.writing {
		if j != nil {
			all = append(all, j)
		}
	}
	if newcomer != nil {
		all = append(all, newcomer)
	}
	s.release()
	s.most = max(1, len(all)/2)
	for _, j := range all {
		if len(all) == 1 && j.alone && !j.smaller() {
			j.end(s.model, &OutOfMemoryError{Plan: s.plan, Page: &j.planned, Room: s.room.limit, Err: err})
			continue
		}
		j.alone = len(all) == 1
		s.restart(j)
	}
}
