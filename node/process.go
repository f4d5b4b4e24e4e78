package node

import (
	"cmp"
	"context"
	"iter"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/protocol/amqp091"
)

// A Setting is one key of the configuration in force, for operators to see.
type Setting struct{ Key, Value, Origin string }

// Overview implements admin.Processes.
func (o operations) Overview(ctx context.Context) (admin.Overview, error) {
	st, err := o.Status(ctx)
	if err != nil {
		return admin.Overview{}, err
	}
	x := admin.Overview{
		Status: st, PID: os.Getpid(), OS: runtime.GOOS + "/" + runtime.GOARCH, Runtime: runtime.Version(),
		Goroutines: runtime.NumGoroutine(), Compatible: amqp091.CompatVersion, ConfigFiles: o.o.ConfigFiles,
		LogFiles: []string{"<stderr>"}, Files: openFiles(), Breakdown: o.breakdown(&st), Alarms: []string{},
	}
	if m := o.node(); m != nil {
		x.Maintenance = m.State == catalog.Draining
	}
	for m := range o.catalog.View().Nodes() {
		x.Members = append(x.Members, admin.Member{Name: m.Name, Running: m.Incarnation != 0})
	}
	slices.SortFunc(x.Members, func(a, b admin.Member) int { return cmp.Compare(a.Name, b.Name) })
	if g := o.gate.Load(); g != nil {
		gs := g.Stats()
		x.HalfOpen = admin.HalfOpen{Now: gs.HalfOpen, Most: gs.MaxHalfOpen, Evicted: gs.Evicted}
	}
	x.Alarms = append(x.Alarms, o.alarmNames()...)
	x.VHostsDown = o.vhostsDown()
	return x, nil
}

// breakdown says what the memory is used for, as far as that is counted: first
// what Go knows, then what of it we know.
func (o operations) breakdown(st *admin.Status) []admin.MemoryPart {
	names := []struct{ metric, name string }{
		{"/memory/classes/heap/objects:bytes", "heap_objects"},
		{"/memory/classes/heap/unused:bytes", "heap_unused"},
		{"/memory/classes/heap/free:bytes", "heap_free"},
		{"/memory/classes/heap/stacks:bytes", "stacks"},
		{"/memory/classes/os-stacks:bytes", "os_stacks"},
		{"/memory/classes/metadata/other:bytes", "metadata"},
		{"/memory/classes/profiling/buckets:bytes", "profiling"},
		{"/memory/classes/other:bytes", "other"},
	}
	samples := make([]metrics.Sample, len(names))
	for i := range names {
		samples[i].Name = names[i].metric
	}
	metrics.Read(samples)
	parts := make([]admin.MemoryPart, 0, len(names)+1)
	for i, s := range samples {
		parts = append(parts, admin.MemoryPart{Name: names[i].name, Bytes: int64(s.Value.Uint64())})
	}
	return append(parts, admin.MemoryPart{Name: "queue_bodies", Bytes: st.Memory.Entries})
}

// vhostsDown lists the vhosts with a queue in a shard that is refused.
func (o operations) vhostsDown() (names []string) {
	t, v := o.shards.Load(), o.catalog.View()
	for id := range t.refused {
		for q := range v.QueuesIn(id) {
			if h := v.VHostByID(q.VHost); h != nil && !slices.Contains(names, h.Name) {
				names = append(names, h.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// Settings implements admin.Processes.
func (o operations) Settings(context.Context, admin.SettingsQuery) iter.Seq2[admin.Setting, error] {
	return func(yield func(admin.Setting, error) bool) {
		for _, s := range o.o.Settings {
			if !yield(admin.Setting(s), nil) {
				return
			}
		}
	}
}

// Stop implements admin.Processes.
func (o operations) Stop(_ context.Context, x admin.StopNode) (admin.Done, error) {
	if len(x.Reason) > mostReason {
		return admin.Done{}, admin.Invalidf("the reason may have %d bytes", mostReason)
	}
	stop := o.halt.Load()
	if stop == nil {
		return admin.Done{}, &admin.Error{Kind: admin.Unavailable, Text: "the node is stopping already"}
	}
	o.log.Info("an operator stops the node", "text", x.Reason)
	(*stop)()
	return admin.Done{}, nil
}

// FreeMemory implements admin.Processes.
func (o operations) FreeMemory(context.Context, admin.FreeMemory) (admin.Done, error) {
	debug.FreeOSMemory()
	return admin.Done{}, nil
}
