package ctl

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An exchange is a command line and what RabbitMQ answered to it.
type exchange struct {
	at        int // line in the file
	tool      string
	line      []string
	stdin     string
	out, errs string
	exit      int
}

// transcript reads a file of what RabbitMQ's own tools printed.
func transcript(t *testing.T, file string) (all []exchange) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "rabbitmq-3.10.8", file))
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(text), "\n") {
		mark, rest, _ := strings.Cut(line, " ")
		switch x := len(all) - 1; mark {
		case "$":
			e := exchange{at: i + 1}
			if strings.HasPrefix(rest, "(stdin ") {
				e.stdin = strings.ReplaceAll(words(rest[len("(stdin "):strings.Index(rest, ") rabbitmq")])[0], `\n`, "\n")
				rest = rest[strings.Index(rest, ") rabbitmq")+2:]
			}
			e.line = words(rest)
			e.tool, e.line = e.line[0], e.line[1:]
			all = append(all, e)
		case "1>":
			all[x].out += rest + "\n"
		case "2>":
			all[x].errs += rest + "\n"
		case "exit":
			if _, err := fmt.Sscan(rest, &all[x].exit); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}

// words takes a line apart as bash's %q put it together.
func words(line string) (out []string) {
	word, begun := "", false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\':
			i++
			word, begun = word+line[i:i+1], true
		case c == '\'':
			begun = true
		case c == ' ':
			out = append(out, word)
			word, begun = "", false
		default:
			word, begun = word+line[i:i+1], true
		}
	}
	if begun || word != "" {
		out = append(out, word)
	}
	return out
}

// replay gives a node the command lines of a transcript and compares what comes
// of them. What is meant to differ stands in other, by the command line, with
// what is printed instead.
func replay(t *testing.T, file string, other map[string]exchange) {
	n := newNode(t, t.TempDir(), nil)
	d := &desk{t: t, env: map[string]string{}, dir: n.dir}
	for _, e := range transcript(t, file) {
		d.stdin = e.stdin
		got := exchange{exit: d.runAs(e.tool, e.line...), out: d.out.String()}
		got.errs, _, _ = strings.Cut(d.errs.String(), "\nUsage\n")
		want := e
		line := strings.Join(e.line, " ")
		if at := fmt.Sprintf("%s @%d", line, e.at); other[at].out != "" {
			line = at // one of several that are alike
		}
		if o, ok := other[line]; ok {
			want.exit, want.out, want.errs = o.exit, o.out, o.errs
			delete(other, line)
		}
		if got.exit != want.exit || strings.TrimSpace(got.out) != strings.TrimSpace(want.out) || strings.TrimSpace(got.errs) != strings.TrimSpace(want.errs) {
			t.Errorf("%s:%d: %s: exit code %d, want %d\nprinted %q\nwant    %q\nerrors %q\nwant   %q",
				file, e.at, line, got.exit, want.exit, got.out, want.out, got.errs, want.errs)
		}
	}
	for line := range other {
		t.Errorf("%s has no %q", file, line)
	}
}

// What RabbitMQ's own tools answer, these do: output, errors and exit codes. The
// transcripts are of RabbitMQ 3.10.8. (estate R16: set_policy HA, as the recipe
// has it).
func TestAsRabbitMQ(t *testing.T) {
	badPattern := "Error:\n{:invalid_regexp, '*'}: invalid permission: pattern: \"*\": error parsing regexp: missing argument to repetition operator in `*`"
	t.Run("users", func(t *testing.T) {
		replay(t, "users.txt", map[string]exchange{
			// What may be a password is not repeated.
			"add_user a b c": {exit: exitUsage, errs: "Error (argument validation): too many arguments.\nArguments given:\n\tadd_user a *** ***"},
			"add_user  x":    {exit: exitData, errs: "Error (argument validation): Bad argument: user cannot be an empty string\nArguments given:\n\tadd_user  ***"},
			// RabbitMQ's text speaks of its plugins.
			"authenticate_user alice ": {exit: exitData, out: "Authenticating user \"alice\" ...", errs: "Error:\nError: failed to authenticate user \"alice\"\n" +
				"user 'alice' attempted to log in with a blank password, which is prohibited. Change the password of the user to be non-blank."},
		})
	})
	t.Run("permissions", func(t *testing.T) {
		replay(t, "permissions.txt", map[string]exchange{
			// The reason is in our words.
			"set_permissions alice * .* .*":              {exit: exitUnavailable, out: `Setting permissions for user "alice" in vhost "/" ...`, errs: badPattern},
			"set_topic_permissions alice amq.topic * ^y": {exit: exitUnavailable, out: `Setting topic permissions on "amq.topic" for user "alice" in vhost "/" ...`, errs: badPattern},
		})
	})
	t.Run("vhosts", func(t *testing.T) {
		replay(t, "vhosts.txt", map[string]exchange{
			// We say which there are.
			"add_vhost v3 --default-queue-type nonsense": {
				exit: exitUnavailable, out: `Adding vhost "v3" ...`,
				errs: "Error:\ninvalid_queue_type: the default queue type must be one of classic, quorum",
			},
			// RabbitMQ makes a vhost that no client can name.
			"add_vhost ": {exit: exitData, out: `Adding vhost "" ...`, errs: "Error:\nauth: the name is empty"},
		})
	})
	noDictionary := "Error:\nlimits must be a dictionary: not a JSON object"
	t.Run("limits", func(t *testing.T) {
		replay(t, "limits.txt", map[string]exchange{
			// We say which numbers.
			`set_vhost_limits -p v1 {"max-queues": "x"}`: {
				exit: exitUnavailable, out: `Setting vhost limits to "{"max-queues": "x"}" for vhost "v1" ...`,
				errs: "Error:\nValidation failed\n\nmax-queues should be an integer of at least -1, actually was <<\"x\">>",
			},
			`set_user_limits alice {"max-connections":"x"}`: {
				exit: exitUnavailable, out: `Setting user limits to "{"max-connections":"x"}" for user "alice" ...`,
				errs: "Error:\nmax-connections should be an integer of at least -1, actually was <<\"x\">>",
			},
			// RabbitMQ clears a limit that there is not.
			"clear_user_limits alice max-what": {
				exit: exitUnavailable, out: `Clearing "max-what" limit for user "alice" ...`,
				errs: "Error:\nUnrecognised terms [{<<\"max-what\">>,-1}] in user-limits",
			},
			// RabbitMQ falls over.
			"set_user_limits alice []": {exit: exitUnavailable, out: `Setting user limits to "[]" for user "alice" ...`, errs: noDictionary},
			"set_vhost_limits []": {
				exit: exitUnavailable, out: `Setting vhost limits to "[]" for vhost "/" ...`,
				errs: "Error:\nValidation failed\n\nlimits must be a dictionary: not a JSON object",
			},
			// To us no limit is no limit.
			"list_user_limits --user alice @167": {out: "Listing limits for user \"alice\" ...\n{}"},
		})
	})
	t.Run("policies", func(t *testing.T) {
		setting := `Setting policy "bad" for pattern "%s" to "%s" with priority "0" for vhost "/" ...`
		invalid := "Error:\nValidation failed\n\n"
		mirrored := "note: ha-mode=all: replicated on all nodes, and on those that join"
		replay(t, "policies.txt", map[string]exchange{
			// We say what it means here, beside what scripts read.
			`set_policy HA ^(?!amq\.).* {"ha-mode": "all"}`: {
				out:  `Setting policy "HA" for pattern "^(?!amq\.).*" to "{"ha-mode": "all"}" with priority "0" for vhost "/" ...`,
				errs: mirrored,
			},
			// Mirrors are one thing to us, whoever asks for them.
			`set_operator_policy op2 .* {"ha-mode": "all"}`: {
				out:  `Setting operator policy override "op2" for pattern ".*" to "{"ha-mode": "all"}" with priority "0" for vhost "/" ...`,
				errs: mirrored,
			},
			// The reason is in our words.
			`set_policy bad * {"message-ttl": 1000}`: {
				exit: exitUnavailable, out: fmt.Sprintf(setting, "*", `{"message-ttl": 1000}`),
				errs: invalid + "pattern should be regular expression but is invalid: pattern: \"*\": error parsing regexp: missing argument to repetition operator in `*`",
			},
			// RabbitMQ falls over.
			"set_policy bad .* []": {exit: exitUnavailable, out: fmt.Sprintf(setting, ".*", "[]"), errs: invalid + "definition must be a dictionary: not a JSON object"},
			// As a later RabbitMQ has it.
			`set_policy --apply-to junk bad .* {"message-ttl": 1}`: {
				exit: exitUnavailable, out: fmt.Sprintf(setting, ".*", `{"message-ttl": 1}`),
				errs: invalid + "apply-to 'junk' unrecognised; should be one of: 'queues', 'classic_queues', 'quorum_queues', 'streams', 'exchanges', or 'all'",
			},
			"list_operator_policies": {out: "Listing operator policy overrides for vhost \"/\" ...\nvhost\tname\tpattern\tapply-to\tdefinition\tpriority\n" +
				"/\top\t.*\tall\t{\"max-length\":100}\t0\n/\top2\t.*\tall\t{\"ha-mode\":\"all\"}\t0"},
			// RabbitMQ takes a policy without a name.
			`set_policy  .* {"max-length": 5}`: {
				exit: exitUnavailable, out: `Setting policy "" for pattern ".*" to "{"max-length": 5}" with priority "0" for vhost "/" ...`,
				errs: "Error:\nthe name of a policy has 1 to 255 bytes",
			},
		})
	})
	t.Run("parameters", func(t *testing.T) {
		// RabbitMQ keeps a parameter of its own.
		replay(t, "parameters.txt", map[string]exchange{
			"list_global_parameters":                  {out: "Listing global runtime parameters ...\nname\tvalue\nmykey\t{\"a\":1}\nmykey3\t\"text\""},
			"-q list_global_parameters":               {out: "name\tvalue\nmykey\t{\"a\":1}\nmykey3\t\"text\""},
			"list_global_parameters --formatter json": {out: "[\n{\"name\":\"mykey\",\"value\":\"{\\\"a\\\":1}\"}\n,{\"name\":\"mykey3\",\"value\":\"\\\"text\\\"\"}\n]"},
		})
	})
}
