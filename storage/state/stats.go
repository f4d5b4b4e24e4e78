package state

// Stats describes the space and work of a Pebble.
type Stats struct {
	DiskBytes     uint64 // files on disk, obsolete ones included
	MemtableBytes uint64 // memory of memtables, full ones included
	CacheBytes    int64
	Tables        int64 // on all levels
	L0Sublevels   int   // tables a read may have to look into on level 0
	Flushes       int64
	Compactions   int64
	WaitingBytes  uint64 // estimate of what compactions are behind with
}

// Stats may be called from any goroutine, every few seconds.
func (p *Pebble) Stats() Stats {
	m := p.db.Metrics()
	total := m.Total()
	return Stats{
		DiskBytes:     m.DiskSpaceUsage(),
		MemtableBytes: m.MemTable.Size,
		CacheBytes:    m.BlockCache.Size,
		Tables:        total.TablesCount,
		L0Sublevels:   int(m.Levels[0].Sublevels),
		Flushes:       m.Flush.Count,
		Compactions:   m.Compact.Count,
		WaitingBytes:  m.Compact.EstimatedDebt,
	}
}
