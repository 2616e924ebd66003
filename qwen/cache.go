package qwen

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
)

// ErrContextLength is wrapped by the error of a prompt that does not fit the context.
var ErrContextLength = errors.New("the context is too long")

// Cache holds the keys and values of the sequences that are being written, one a slot. Its capacity grows in steps with
// the longest of them, so that a token costs what the sequences need and not what they might. A cache belongs to one
// goroutine.
//
// Where host and device share memory the host copies a token's new rows into the cache itself, which costs nothing, and each
// slot has a capacity of its own; else the programs write them and return the cache, in place where the backend can.
type Cache struct {
	m        *Model
	slots    int
	limit    int // of the capacity
	capacity int // of all slots; where the host writes the rows, see layerCache
	layers   []layerCache
	length   []int32 // tokens in each slot
	next     []int32 // position of each slot's next token
	past     []past  // of each slot

	sequences int // that have begun
}

// layerCache is what one layer keeps: keys and values, [slots, kvHeads, capacity, headDim], or those of each slot apart where the host
// writes them; or a history [slots, kernel-1, channels] and a state [slots, valueHeads, keyDim, valueDim], which have one size.
type layerCache struct {
	kept [2]compute.Buffer
	rows []hostRows // by slot
}

// NewCache makes a cache with a number of slots, each for at most limit tokens. It takes no memory until it is used.
func (m *Model) NewCache(slots, limit int) *Cache {
	c := &Cache{
		m: m, slots: slots, limit: min(limit, m.Spec.Text.MaxPositions), layers: make([]layerCache, m.Spec.Text.Layers),
		length: make([]int32, slots), next: make([]int32, slots), past: make([]past, slots),
	}
	for i := range c.layers {
		c.layers[i].rows = make([]hostRows, slots)
	}
	return c
}

// Slots counts the slots.
func (c *Cache) Slots() int { return c.slots }

// Capacity is the number of tokens that a slot has room for now; where slots differ, the largest.
func (c *Cache) Capacity() int {
	capacity := c.capacity
	for slot := range c.slots {
		capacity = max(capacity, c.capacityOf(slot))
	}
	return capacity
}

// Room is the number of tokens that all slots together have room for now.
func (c *Cache) Room() int {
	n := 0
	for slot := range c.slots {
		n += c.capacityOf(slot)
	}
	return n
}

// capacityOf is the number of tokens that a slot has room for.
func (c *Cache) capacityOf(slot int) int {
	capacity := c.capacity
	for _, l := range c.layers { // all with attention have the same
		capacity = max(capacity, l.rows[slot].capacity)
	}
	return capacity
}

// Length counts the tokens in a slot.
func (c *Cache) Length(slot int) int { return int(c.length[slot]) }

// Limit is the number of tokens that a slot can hold.
func (c *Cache) Limit() int { return c.limit }

// Bytes is the memory of the device, or of each of several, that the cache takes now.
func (c *Cache) Bytes() int64 {
	p := c.m.Planner()
	var n int64
	for _, l := range c.layers {
		all := l.kept[:]
		for _, rows := range l.rows {
			all = append(all, rows.kept[:]...)
		}
		for _, b := range all {
			if b == nil {
				continue
			}
			if shape, err := b.Shape(); err == nil {
				n += p.round(shape.ByteSize())
			}
		}
	}
	return n
}

// Clear empties a slot.
func (c *Cache) Clear(slot int) {
	for i := range c.layers {
		_ = c.layers[i].rows[slot].free() // they are gone either way
	}
	c.begin(slot, 0, 0)
}

// begin says that a slot has a new sequence.
func (c *Cache) begin(slot int, length, next int32) {
	c.length[slot], c.next[slot] = length, next
	c.sequences++
	c.past[slot] = past{sequence: c.sequences}
}

// Close frees the memory.
func (c *Cache) Close() error {
	var errs []error
	for i := range c.layers {
		errs = append(errs, c.layers[i].free())
	}
	return errors.Join(errs...)
}

func (l *layerCache) free() error {
	err := buffers(l.kept[:]).free()
	for i := range l.rows {
		err = errors.Join(err, l.rows[i].free())
	}
	l.kept = [2]compute.Buffer{}
	return err
}

// capacityStep is the least capacity, and the step up to eight times that; above, the steps are eighths of a power of two.
const capacityStep = 256

// reserve makes room for tokens in a slot.
func (c *Cache) reserve(ctx context.Context, slot, tokens int) error {
	if tokens > c.limit {
		return c.tooLong(slot, tokens)
	}
	if c.m.runtime.HostCache {
		return c.reserveHost(ctx, slot, tokens)
	}
	return c.room(ctx, tokens)
}

// room gives all slots room for so many tokens.
func (c *Cache) room(ctx context.Context, tokens int) error {
	if tokens <= c.capacity {
		return nil
	}
	capacity := roundCapacity(tokens)
	for i := range c.layers {
		if c.m.Spec.Text.LinearAt(i) {
			if err := c.makeStates(i); err != nil {
				return fmt.Errorf("make room for states: %w", err)
			}
			continue
		}
		if err := c.grow(ctx, i, capacity); err != nil {
			return fmt.Errorf("grow the cache to %d tokens: %w", capacity, err)
		}
	}
	c.capacity = capacity
	return nil
}

func (c *Cache) tooLong(slot, tokens int) error {
	return fmt.Errorf("%w: slot %d would hold %d tokens, the limit is %d", ErrContextLength, slot, tokens, c.limit)
}

// roundCapacity is the capacity that is taken for so many tokens.
func roundCapacity(tokens int) int {
	step := capacityStep
	for step*16 <= tokens {
		step *= 2
	}
	return (tokens + step - 1) / step * step
}

// cacheType is the type of a cache's keys and values.
func (m *Model) cacheType() dtypes.DType {
	if m.runtime.HalfCache && m.runtime.Traits.HalfAttention {
		return dtypes.BFloat16
	}
	return dtypes.Float32
}

// grow gives one layer more capacity and keeps what is in it: no more than one layer is in memory twice.
func (c *Cache) grow(ctx context.Context, layer, capacity int) error {
	same := make([]int, c.slots)
	for i := range same {
		same[i] = i
	}
	fresh, err := c.fitLayer(ctx, layer, same, capacity)
	if err != nil {
		return errors.Join(err, buffers(fresh[:]).free())
	}
	old := c.layers[layer].kept
	c.layers[layer].kept = fresh
	return buffers(old[:]).free()
}

// Take puts a prompt into a slot and frees what it took of it, unless a [Prefix] is to have it too.
func (c *Cache) Take(ctx context.Context, slot int, p *Prompted) error {
	err := error(nil)
	switch {
	case p.length > c.limit:
		err = c.tooLong(slot, p.length)
	case !c.m.runtime.HostCache: // which takes room with each layer
		err = c.reserve(ctx, slot, p.length)
	}
	if err != nil {
		return fmt.Errorf("qwen: cache: %w", err)
	}
	shared := p.left.shared()
	for layer, left := range p.left.layers {
		err := c.store(ctx, layer, slot, left, p)
		if !shared { // each layer's as soon as it can be
			p.left.layers[layer] = nil
			err = errors.Join(err, buffers(left).free())
		}
		if err != nil {
			return fmt.Errorf("qwen: cache: %w", err)
		}
	}
	c.begin(slot, int32(p.length), p.next)
	return nil
}

// store puts what a layer keeps of a prompt into a slot: keys and values [kvHeads, rows, headDim], or history and state.
func (c *Cache) store(ctx context.Context, layer, slot int, left []compute.Buffer, p *Prompted) error {
	linear := c.m.Spec.Text.LinearAt(layer)
	switch {
	case linear:
		if err := c.makeStates(layer); err != nil {
			return err
		}
	case c.m.runtime.HostCache:
		return c.storeHost(ctx, layer, slot, left, p.rows, p.length)
	}
	for i, fresh := range left {
		var err error
		if linear {
			err = c.putState(ctx, layer, i, slot, fresh)
		} else {
			err = c.storeDevice(ctx, &c.layers[layer].kept[i], slot, fresh, p.rows)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Cache) storeDevice(ctx context.Context, cache *compute.Buffer, slot int, fresh compute.Buffer, rows int) (err error) {
	var scratch buffers
	defer func() { err = errors.Join(err, scratch.free()) }()
	at, err := scratch.keep(c.m, []int32{int32(slot)})
	if err != nil {
		return err
	}
	p, err := c.m.programs.Get(fmt.Sprintf("store %d %d %d", c.slots, c.capacity, rows), c.m.storeGraph(c.slots, c.capacity, rows))
	if err != nil {
		return err
	}
	out, err := p.Run(ctx, []compute.Buffer{*cache, fresh, at}, 0)
	if err != nil {
		return err
	}
	*cache = out[0]
	return nil
}
