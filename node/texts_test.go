package node

import (
	"os"
	"strings"
	"testing"

	"github.com/warrenmq/warren/core/catalog"
)

// What is said of a damaged shard says what is to be done, and stands in the docs.
func TestRefusedTexts(t *testing.T) {
	docs, err := os.ReadFile("../docs/partitions.md")
	must(t, err)
	for want, replicas := range map[string][]uint64{
		"it is made anew":       {1, 2, 3},
		"it has two replicas":   {1, 2},
		"it had one replica":    {1},
		"restore a backup, or ": {1},
	} {
		text := refusedText(&catalog.Shard{ShardSpec: catalog.ShardSpec{Replicas: replicas}, Founders: replicas}, 1)
		if !strings.Contains(text, want) || !strings.Contains(string(docs), text) {
			t.Errorf("of %d replicas: %q, want %q, and the docs to have it", len(replicas), text, want)
		}
	}
}
