package config

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"
)

func TestLoad(t *testing.T) {
	datadriven.RunTest(t, "testdata/load", func(t *testing.T, d *datadriven.TestData) string {
		in := Input{File: "warren.yaml", Text: []byte(d.Input), Machine: Machine{Host: "node-01", CPUs: 2, RAM: 4 << 30, DiskFree: 1 << 40}}
		show, listens := false, false
		var only []string
		for _, a := range d.CmdArgs {
			switch a.Key {
			case "ram":
				in.Machine.RAM = sizeArg(t, a.Vals[0])
			case "cgroup":
				in.Machine.Cgroup = sizeArg(t, a.Vals[0])
			case "disk":
				in.Machine.DiskFree = sizeArg(t, a.Vals[0])
			case "files":
				in.Machine.OpenFiles = sizeArg(t, a.Vals[0])
			case "cpus":
				in.Machine.CPUs = int(sizeArg(t, a.Vals[0]))
			case "env":
				env := map[string]string{}
				for _, v := range a.Vals {
					name, value, _ := strings.Cut(v, "=")
					env["RABBITMQ_"+name] = value
				}
				in.Env = Environment(func(name string) string { return env[name] })
			case "set":
				in.Sets = a.Vals
			case "flag":
				for _, v := range a.Vals {
					key, value, _ := strings.Cut(v, "=")
					in.Flags = append(in.Flags, Setting{key, value, "--" + key})
				}
			case "show":
				show = true
			case "listen":
				listens = true
			case "keys":
				only = a.Vals
			default:
				t.Fatalf("unknown argument %s", a.Key)
			}
		}
		c, err := Load(in)
		switch {
		case err != nil:
			return err.Error()
		case show:
			return c.Show()
		case listens:
			var b strings.Builder
			for _, l := range c.Node.Listen {
				fmt.Fprintf(&b, "%s %s\n", l.Protocol, l.Addr)
			}
			for _, name := range c.NotServed {
				fmt.Fprintf(&b, "not served: %s\n", name)
			}
			fmt.Fprintf(&b, "beyond this machine: %v\n", c.Beyond())
			return b.String()
		}
		var b strings.Builder
		for _, e := range c.Entries() {
			for _, k := range only {
				if e.Key == k {
					fmt.Fprintf(&b, "%s = %s (%s)\n", e.Key, e.Value, e.Origin)
				}
			}
		}
		return b.String() + "ok"
	})
}

func sizeArg(t *testing.T, s string) int64 {
	n, err := ParseSize(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What `config show` prints is a configuration that means the same.
func TestShowIsAFile(t *testing.T) {
	m := Machine{Host: "h", CPUs: 4, RAM: 10_000_000_000, DiskFree: 7_000_000_000, OpenFiles: 5000}
	c, err := Load(Input{Machine: m, Sets: []string{"tls.cert=yes: #no", "name=on", "limits.login_time=5m"}})
	if err != nil {
		t.Fatal(err)
	}
	// Derived from another machine, nothing would be the same by chance.
	again, err := Load(Input{File: "shown", Text: []byte(c.Show())})
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range c.Entries() {
		if got := again.Entries()[i]; got.Value != e.Value {
			t.Errorf("%s is %q, was %q", e.Key, got.Value, e.Value)
		}
	}
}

// A secret is nowhere shown, and what stands for it is not taken for one.
func TestSecretsAreHidden(t *testing.T) {
	const canary = "s3cr3t-canary"
	c, err := Load(Input{Sets: []string{"default_user.password=" + canary, "cluster.cookie=" + canary}})
	if err != nil {
		t.Fatal(err)
	}
	shown := c.Show()
	if strings.Contains(shown+fmt.Sprintf("%+v %#v", c, *c), canary) || strings.Count(shown, "***") != 2 {
		t.Errorf("shown: %s", shown)
	}
	if c.Node.FirstUser.Password.Reveal() != canary || c.Node.Cluster.Cookie.Reveal() != canary {
		t.Error("not set")
	}
	if _, err := Load(Input{File: "shown", Text: []byte(shown)}); err == nil || !strings.Contains(err.Error(), "stands for a secret") {
		t.Errorf("read again: %v", err)
	}
}

// docs/configuration.md says what the table says.
func TestDocument(t *testing.T) {
	const file = "../docs/configuration.md"
	if rewrite := flag.Lookup("rewrite"); rewrite != nil && rewrite.Value.String() == "true" {
		if err := os.WriteFile(file, []byte(Markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != Markdown() {
		t.Errorf("%s is out of date; run: go test ./config -run TestDocument -rewrite", file)
	}
}

func TestKeysAreWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range keys() {
		if seen[k.Name] || k.Doc == "" || k.Kind == "" || k.set == nil || k.get == nil {
			t.Errorf("key %q is not whole, or twice there", k.Name)
		}
		if k.Default != "" && k.Derived != "" {
			t.Errorf("key %q has two defaults", k.Name)
		}
		seen[k.Name] = true
	}
}

func TestReadMemory(t *testing.T) {
	for _, tc := range []struct {
		name        string
		files       map[string]string
		ram, cgroup int64
	}{
		{"nothing", nil, 0, 0},
		{"ram", map[string]string{"proc/meminfo": "MemTotal:       1024 kB\nMemFree: 1 kB\n"}, 1 << 20, 0},
		{"unified, nested", map[string]string{
			"proc/self/cgroup":                                     "0::/system.slice/warren.service\n",
			"sys/fs/cgroup/system.slice/memory.max":                "2000\n",
			"sys/fs/cgroup/system.slice/warren.service/memory.max": "max\n",
		}, 0, 2000},
		{"unified, in a container", map[string]string{
			"proc/self/cgroup":         "0::/\n",
			"sys/fs/cgroup/memory.max": "3000\n",
		}, 0, 3000},
		{"older", map[string]string{
			"proc/self/cgroup": "7:cpu:/a\n5:memory:/docker/abc\n0::/\n",
			"sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "5000\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":            "9223372036854771712\n",
		}, 0, 5000},
		{"older, without a limit", map[string]string{
			"proc/self/cgroup":                           "5:memory:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 0, 0},
		{"garbage", map[string]string{"proc/meminfo": "MemTotal: x", "proc/self/cgroup": "0:\n::\n0::/../..\n", "sys/fs/cgroup/memory.max": "-3"}, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range tc.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			var m Machine
			m.ReadMemory(root)
			if m.RAM != tc.ram || m.Cgroup != tc.cgroup {
				t.Errorf("got %d, %d; want %d, %d", m.RAM, m.Cgroup, tc.ram, tc.cgroup)
			}
		})
	}
}

func TestSizes(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "4096": 4096, "64KiB": 64 << 10, "1.5GiB": 3 << 29, "10MB": 10_000_000, "2 GiB": 2 << 30, "1k": 1000, "7B": 7, "1_000": 1000,
	} {
		if got, err := ParseSize(s); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "x", "-1", "1KiBB", "1e30", "NaN", "Inf", "MiB", "1 KiB x", "9999999TiB"} {
		if got, err := ParseSize(s); err == nil {
			t.Errorf("%q was read as %d", s, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 1<<50).Draw(t, "n")
		if got, err := ParseSize(formatSize(n)); err != nil || got != n {
			t.Fatalf("%d is written %q and read %d, %v", n, formatSize(n), got, err)
		}
	})
}

// Whatever the machine, what is derived is valid.
func TestDeriveIsValid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(0, 1<<45)
		m := Machine{RAM: size.Draw(t, "ram"), Cgroup: size.Draw(t, "cgroup"), DiskFree: size.Draw(t, "disk"), OpenFiles: size.Draw(t, "files"), CPUs: rapid.IntRange(0, 1000).Draw(t, "cpus")}
		c, err := Load(Input{Machine: m})
		if err != nil {
			t.Fatal(err)
		}
		if limit, _ := m.memory(); limit > 1<<30 && c.GoMemoryLimit() > limit*9/10 {
			t.Fatalf("Go may use %d of %d", c.GoMemoryLimit(), limit)
		}
	})
}

func FuzzLoad(f *testing.F) {
	for _, seed := range []string{"name: a", "limits: {max_connections: 5}", "a: *b", "- x", "a: &a [*a]", "listen:\n  amqp: :0\n", "? {a: b}\n: c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Load(Input{File: "f", Text: []byte(text)})
		if err == nil && c.Node.Validate() != nil {
			t.Fatal("loaded what is not valid")
		}
	})
}
