package node

// shares are what the parts of a node may hold, so that together they stay
// within Memory.Budget. They follow from Memory and the number of shards.
type shares struct {
	bodies      int    // bodies of durable queues in memory, of one shard
	queueMemory int64  // bodies of queues in memory, of the node
	hotPages    int    // pages of records kept after a checkpoint, of one shard
	dirty       int    // bytes of changed records that start a checkpoint round
	logCache    int64  // newest entries kept by the log for its readers
	groupCache  uint64 // applied entries kept by a group for its followers
	applying    uint64 // committed entries of a group waiting to be applied
	uncommitted int    // entries of a group proposed and not applied
}

// pageBytes is about what the records of a full page of a queue take.
const pageBytes = 160 << 10

// shares divides the memory: half of Entries are for durable queues, half for
// queues in memory. A sixteenth of the budget each is for records of messages
// that changed, for those that did not, for the log's newest entries, and for
// entries on their way through Raft. The rest is for connections.
//
// A budget for 64 shards is one for 1: what a shard may hold shrinks.
func (m Memory) shares(shards int) shares {
	n := int64(max(1, shards))
	part := m.Budget / 16
	return shares{
		bodies:      int(m.Entries / 2 / n),
		queueMemory: m.Entries / 2,
		hotPages:    int(max(4, part/n/pageBytes)),
		dirty:       int(min(part, 32<<20)),
		logCache:    min(part, 16<<20),
		groupCache:  uint64(clamp(part/4/n, 64<<10, 8<<20)),
		applying:    uint64(clamp(part/n, 1<<20, 16<<20)),
		uncommitted: int(clamp(part*4/n, MaxMessageBytes+1<<20, 256<<20)),
	}
}

func clamp(v, least, most int64) int64 { return max(least, min(v, most)) }

// roundBytes is how much log starts a checkpoint round: less where segments are
// small, for the disk is, and a round may have to write as much again.
func (o Options) roundBytes() int64 { return min(256<<20, 4*o.SegmentBytes) }

// reserveBytes is what is kept on the disk for a time when it is full.
func (o Options) reserveBytes() int64 { return 2*o.SegmentBytes + o.Memory.Memtable }

// defaultDiskFreeLimit leaves what a round may write, and the log meanwhile.
func (o Options) defaultDiskFreeLimit() int64 { return o.roundBytes() + o.reserveBytes() }
