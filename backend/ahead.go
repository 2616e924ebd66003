package backend

import (
	"context"
	"fmt"
	"time"

	"github.com/omnidocs/omnidocs/qwen"
)

// This file sends several small pages that wait through the vision tower together: on a GPU one of them leaves most of the device idle.
//
// While pages wait the loop takes a few of them out of the line into s.next. The page that is admitted takes those of them along that are
// prepared and of its size, in twos, fours and so on, so that few numbers are compiled for. They keep their visual tokens and stay in line:
// each is admitted when its turn comes, its prompt goes through the text tower by itself, and no page waits for another. A group is as
// large as the model allows (qwen.Model.Together), which bounds a call, and the writers get their turns for what it took, as for any call.
// Pages come along only where memory has room for all of it at once; where the device has none all the same, the page goes alone.

// lookahead takes pages out of the line: the one that is to be admitted, if there is any, and as many as can go through the vision tower
// with it. It returns nil once the line has been closed.
func (s *scheduler) lookahead(ready chan *job) chan *job {
	for ready != nil && len(s.next) < s.together {
		select {
		case j, ok := <-ready:
			if !ok {
				return nil
			}
			s.next = append(s.next, j)
		default:
			return ready
		}
	}
	return ready
}

// encodeAhead runs a page through the vision tower together with those that wait, if there are any of its size. Without any it does
// nothing. plan is the page's.
func (s *scheduler) encodeAhead(ctx context.Context, j *job, plan qwen.PagePlan, waiting []*job) error {
	most, rows := s.model.Together(j.patches)
	if most < 2 || j.visual != nil {
		return nil
	}
	keys := map[visionKey]bool{}
	fresh := func(k visionKey) bool { // neither there nor one of the group's
		if keys[k] || s.caches.vision.has(k) {
			return false
		}
		keys[k] = true
		return true
	}
	if !fresh(j.key) {
		return nil
	}
	group := []*job{j}
	for _, o := range waiting {
		if len(group) == most {
			break
		}
		if o.small(s.model, rows) && o.visual == nil && fresh(o.key) {
			group = append(group, o)
		}
	}
	n := 1
	for 2*n <= len(group) {
		n *= 2
	}
	for n > 1 && !s.room.reserve(int64(n-1)*(plan.Vision+plan.Visual)) {
		n /= 2
	}
	if n == 1 {
		return nil
	}
	group = group[:n]
	patches := make([]*qwen.Patches, n)
	for i, o := range group {
		patches[i] = o.patches
	}
	lap := stopwatch()
	visual, err := s.model.EncodeTogether(ctx, patches)
	if err != nil {
		s.room.release(int64(n-1) * (plan.Vision + plan.Visual))
		if exhausted(err) {
			s.together = 1 // there is less memory than was thought: from now on each goes alone
			return nil
		}
		return fmt.Errorf("backend: %w", err)
	}
	s.room.release(int64(n-1) * plan.Vision)
	took := lap()
	for i, o := range group {
		o.visual, o.encoded = visual[i], took/time.Duration(n)
		if i > 0 {
			o.ahead = plan.Visual
		}
	}
	return nil
}

// small says whether a page that waits is prepared, and goes through the vision tower with others in so many rows.
func (j *job) small(m *qwen.Model, rows int) bool {
	select {
	case <-j.prepared:
	default:
		return false
	}
	if j.failed != nil || !j.waiting() {
		return false
	}
	most, n := m.Together(j.patches)
	return most > 1 && n == rows
}

// forget frees the visual tokens that a page has had made for it ahead of its turn.
func (s *scheduler) forget(j *job) {
	s.room.release(j.ahead)
	j.ahead = 0
	if j.visual != nil {
		_ = j.visual.Close() // its buffers are gone either way
		j.visual = nil
	}
}
