//go:build faults

package forming

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/freeport"
)

var (
	boots = flag.Int("boots", 3, "how many clusters are formed")
	seed  = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of what is killed and when")
)

// patience is how long three nodes have to be one cluster, on a busy machine.
const patience = 90 * time.Second

// A way is how the nodes find each other.
type way uint8

const (
	byAddress way = iota
	byName
	byMulticast
	ways
)

func (w way) String() string { return [...]string{"by address", "by name", "by multicast"}[w] }

// A trio is three nodes that are to be one cluster.
type trio struct {
	t    *testing.T
	dir  string
	args [3][]string
	host [3]string
	p    [3]*exec.Cmd
}

func newTrio(t *testing.T, r *rand.Rand, w way) *trio {
	c := &trio{t: t, dir: t.TempDir()}
	cookie := filepath.Join(c.dir, "cookie")
	if err := os.WriteFile(cookie, []byte("a cookie that is long enough"), 0o400); err != nil {
		t.Fatal(err)
	}
	block := fmt.Sprintf("127.%d.%d.", 1+r.IntN(250), r.IntN(250))
	var addrs, names []string
	for k := range c.p {
		c.host[k] = fmt.Sprint(block, k+1)
		addrs = append(addrs, c.host[k])
		names = append(names, fmt.Sprintf("rabbit%d@here", k+1))
	}
	for k := range c.p {
		a := []string{"serve", "--data", c.data(k), "--name", names[k], "--bind", c.host[k], "--cookie-file", cookie, "--listen", "http=on"}
		switch w {
		case byAddress:
			a = append(a, "--peers", strings.Join(addrs, ","), "--set", "cluster.found_alone=0s")
		case byName:
			a = append(a, "--peers", strings.Join(names, ","), "--set", "cluster.found_alone=0s")
		case byMulticast:
			a = append(a, "--cluster-name", "forming "+block, "--set", "cluster.size=3", "--listen", "cluster="+freeport.Addr(t))
		}
		c.args[k] = a
	}
	return c
}

func (c *trio) data(k int) string { return filepath.Join(c.dir, fmt.Sprint("node-", k+1)) }

func (c *trio) start(k int) {
	c.t.Helper()
	log, err := os.OpenFile(c.data(k)+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	c.p[k] = exec.Command(os.Getenv("WARREN"), c.args[k]...) //nolint:noctx // it is killed
	c.p[k].Stdout, c.p[k].Stderr = log, log
	c.p[k].Env = append(os.Environ(), "WARREN_NODES="+filepath.Join(c.dir, "names"))
	if err := c.p[k].Start(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *trio) kill(k int) {
	if c.p[k] == nil {
		return
	}
	_ = c.p[k].Process.Kill() // it may have ended, which wait tells
	_ = c.p[k].Wait()
	c.p[k] = nil
}

// says is what a node answers to who asks whether it is ready.
func (c *trio) says(k int) string {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get("http://" + c.host[k] + ":15672/health/ready")
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}

// whole waits until all three serve as one cluster.
func (c *trio) whole() {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for k := range c.p {
		for said := ""; said != "serving: 3 of 3"; said = c.says(k) {
			if time.Now().After(deadline) {
				c.t.Fatalf("node %d: %s\n%s", k+1, said, c.logs())
			}
			<-time.After(50 * time.Millisecond)
		}
	}
}

func (c *trio) logs() string {
	var all strings.Builder
	for k := range c.p {
		text, _ := os.ReadFile(c.data(k) + ".log") // there may be none
		fmt.Fprintf(&all, "--- node %d\n%s", k+1, text)
	}
	return all.String()
}

// founded wants one cluster, which one node founded.
func (c *trio) founded() {
	c.t.Helper()
	clusters, founders := map[string]bool{}, 0
	for k := range c.p {
		text, err := os.ReadFile(filepath.Join(c.data(k), "node.json"))
		if err != nil {
			c.t.Fatal(err)
		}
		var n struct{ Cluster, Began string }
		if err := json.Unmarshal(text, &n); err != nil {
			c.t.Fatal(err)
		}
		clusters[n.Cluster] = true
		if n.Began == "founded" {
			founders++
		}
	}
	if len(clusters) != 1 || founders != 1 {
		c.t.Fatalf("%d clusters, %d founders\n%s", len(clusters), founders, c.logs())
	}
}

// Every three nodes that are started at once become one cluster, whoever of them
// is killed meanwhile (estate R24).
func TestFirstBoots(t *testing.T) {
	t.Logf("-seed=%d", *seed)
	var took time.Duration
	var kills int
	for i := range *boots {
		r := rand.New(rand.NewPCG(*seed, uint64(i)))
		w, killed := way(i%int(ways)), i/int(ways)%2 == 1
		t.Run(fmt.Sprintf("%d %s, killed=%v", i, w, killed), func(t *testing.T) {
			c := newTrio(t, r, w)
			defer func() {
				for k := range c.p {
					c.kill(k)
				}
			}()
			began := time.Now()
			for _, k := range r.Perm(3) {
				c.start(k)
			}
			if killed {
				for range 1 + r.IntN(4) {
					<-time.After(time.Duration(r.IntN(2000)) * time.Millisecond)
					k := r.IntN(3)
					c.kill(k)
					c.start(k)
					kills++
				}
			}
			c.whole()
			c.founded()
			took += time.Since(began)
		})
	}
	if !t.Failed() {
		t.Logf("%d of %d first boots of three made one cluster each, %d processes were killed meanwhile, %s on average",
			*boots, *boots, kills, (took / time.Duration(*boots)).Round(10*time.Millisecond))
	}
}
