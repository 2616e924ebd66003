package backend

import (
	"context"
	"fmt"
	"time"

	"github.com/omnidocs/omnidocs/qwen"
)

// This file is the part of the scheduler that writes: the pages in the slots of the cache, a token of each at a
// time, or a few.

// makeRoom finds a free slot for a sequence of so many tokens, or makes the cache larger. It returns -1 if there is no room for that
// beside the pages that are there.
func (s *scheduler) makeRoom(ctx context.Context, tokens int) (int, error) {
	if s.cache == nil {
		s.cache, s.writing = s.model.NewCache(1, s.limit), make([]*job, 1)
	}
	n, free := s.count(), -1
	for slot, j := range s.writing {
		if j == nil {
			free = slot
		} else {
			tokens = max(tokens, min(s.cache.Length(slot)+s.room.planner.Ahead(), s.limit))
		}
	}
	if n == 0 { // there is no less than that
		return free, nil
	}
	if free >= 0 && (tokens <= s.cache.Capacity() || s.room.fits(len(s.writing), tokens)) {
		return free, nil
	}
	for _, slots := range []int{min(s.most, 2*n), n + 1} {
		if slots > n && s.room.fits(slots, tokens) {
			return n, s.fit(ctx, slots)
		}
	}
	return -1, nil
}

// fit moves the pages to the front of a cache with so many slots.
func (s *scheduler) fit(ctx context.Context, slots int) error {
	var from []int
	var writing []*job
	for slot, j := range s.writing {
		if j != nil {
			from, writing = append(from, slot), append(writing, j)
		}
	}
	for len(from) < slots {
		from, writing = append(from, -1), append(writing, nil)
	}
	if err := s.cache.Fit(ctx, from); err != nil {
		return err
	}
	s.writing = writing
	return nil
}

// step writes into every slot that has a page, and ends the pages that are done. The context is not that of any page: theirs are
// looked at between the calls to the device.
func (s *scheduler) step(ctx context.Context) {
	s.drop()
	if s.count() == 0 {
		return
	}
	err := s.makeWay(ctx)
	if err == nil {
		err = s.token(ctx)
	}
	if err != nil {
		s.fail(err)
		return
	}
	s.room.holds(len(s.writing), s.cache.Capacity())
	for slot, j := range s.writing {
		if j == nil {
			continue
		}
		if j.page.guard.looped() {
			if err := s.undo(ctx, slot); err != nil {
				s.fail(err)
				return
			}
		}
		if j.page.finish != "" {
			s.free(slot)
			j.end(s.model, nil)
			continue
		}
		s.mark(ctx, slot)
	}
	s.shrink(ctx)
}

// drop ends the pages whose contexts have ended.
func (s *scheduler) drop() {
	for slot, j := range s.writing {
		if j == nil {
			continue
		}
		if err := j.canceled(); err != nil {
			s.free(slot)
			j.end(s.model, err)
		}
	}
}

func (s *scheduler) free(slot int) {
	s.writing[slot] = nil
	s.cache.Clear(slot)
}

// shrink makes the cache smaller when a quarter of its slots would do, which leaves room for pages to come. It goes by one of the numbers
// of slots that it grew through, for which there are programs.
func (s *scheduler) shrink(ctx context.Context) {
	n, slots := s.count(), len(s.writing)
	if n == 0 || slots < 4*n {
		return
	}
	ladder := rungs(slots)
	if err := s.fit(ctx, ladder[len(ladder)-2]); err != nil {
		s.fail(err)
	}
}

// fail goes on after an error of the cache.
func (s *scheduler) fail(err error) {
	if exhausted(err) {
		s.exhaust(nil, err)
		return
	}
	s.abandon(err)
}

// abandon ends all pages in the cache, which has failed in the middle of something. Pages to come get a new one.
func (s *scheduler) abandon(err error) {
	for _, j := range s.writing {
		if j != nil {
			j.end(s.model, fmt.Errorf("backend: %w", err))
		}
	}
	s.release()
}

// token writes into every slot that has a page: a token, or as many as the device writes in one call.
func (s *scheduler) token(ctx context.Context) error {
	n := len(s.writing)
	turn, pages := qwen.Turn{Tokens: make([]int32, n), Active: make([]bool, n), Limit: make([]int, n), Stops: make([][]int32, n)}, make([]*page, n)
	for slot, j := range s.writing {
		if j != nil {
			pages[slot], turn.Tokens[slot], turn.Active[slot], turn.Stops[slot] = j.page, j.page.next(), true, j.page.stops
			turn.Limit[slot] = j.page.steady(s.model.Spec.Text.Linear != nil)
		}
	}
	turn.Draw = draw(pages)
	start := time.Now()
	written, err := s.decode(ctx, s.cache, turn)
	if err != nil {
		return err
	}
	took := time.Since(start)
	used, tokens := 0, 0
	for slot, p := range pages {
		if p != nil {
			tokens += p.took(written[slot], s.model)
			used += s.cache.Length(slot)
		}
	}
	s.stats.step(s.count(), tokens, took)
	s.stats.cached(used, s.cache.Room())
	return nil
}
