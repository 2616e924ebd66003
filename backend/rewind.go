package backend

import (
	"context"
	"fmt"
)

// This file is the part of the scheduler that takes pages back to before the loops that they have run into.

// undo undoes the loop of the page in a slot: it goes on from behind the first copy, or ends there.
func (s *scheduler) undo(ctx context.Context, slot int) error {
	p := s.writing[slot].page
	cut, again := p.guard.undo(p.tokens)
	fed := cut - 1 // the model takes the last of those that are kept next
	if again && s.model.Spec.Text.Linear == nil {
		if err := s.cache.Cut(slot, p.prompt+fed); err != nil {
			return fmt.Errorf("undo a loop: %w", err)
		}
	} else if again {
		mark := p.guard.markFor(p.prompt + fed)
		if mark == nil { // there was no memory for one
			again = false
		} else if err := s.cache.Rewind(ctx, mark); err != nil {
			return fmt.Errorf("undo a loop: %w", err)
		} else {
			fed = mark.Length() - p.prompt // from there it takes its own tokens again
		}
	}
	p.tokens, p.logProbs, p.fed = p.tokens[:cut], p.logProbs[:cut], fed
	p.told.back(p.tokens)
	if !again {
		p.finish = FinishRepetition
	}
	return nil
}

// mark takes down where the page in a slot is, from time to time, if the model has states that cannot be cut.
func (s *scheduler) mark(ctx context.Context, slot int) {
	p := s.writing[slot].page
	if s.model.Spec.Text.Linear == nil || p.fed != len(p.tokens)-1 || !p.guard.wantsMark(p.fed) {
		return
	}
	// Where there is no memory for a mark the page goes on without; a loop may then be its end.
	if mark, err := s.cache.Mark(ctx, slot); err == nil {
		p.guard.keepMark(mark)
	}
}
