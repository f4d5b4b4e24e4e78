package broker

import (
	"fmt"
	"math"
	"slices"

	"github.com/warrenmq/warren/core/message"
)

// A policyKey is one word that a definition may have.
type policyKey struct {
	name     string
	operator bool // operator policies may have it, too
	valid    func(v message.Value) bool
	// fault words a value that is not valid; %s is the value.
	fault string
}

func number(least, most int64) func(message.Value) bool {
	return func(v message.Value) bool {
		n, ok := v.Int()
		return ok && n >= least && n <= most
	}
}

func anyText(v message.Value) bool {
	_, ok := v.Text()
	return ok
}

func aKey(v message.Value) bool {
	s, ok := v.Text()
	return ok && len(s) <= maxKey
}

func oneOf(words ...string) func(message.Value) bool {
	return func(v message.Value) bool {
		s, ok := v.Text()
		return ok && slices.Contains(words, s)
	}
}

// replicas takes a number of replicas, or all.
func replicas(v message.Value) bool {
	return number(1, math.MaxInt64)(v) || oneOf("all")(v)
}

// syncWords are the words of ActiveMQ's replicated stores for what a confirm
// waits for. What we do is at least what each of them says.
func syncWords() []string {
	return []string{"local_mem", "local_disk", "remote_mem", "remote_disk", "quorum_mem", "quorum_disk"}
}

// policyKeys are the words that we know. Some are kept for what we do not need;
// the documentation says which.
func policyKeys() []policyKey {
	count := number(0, math.MaxInt64)
	return []policyKey{
		{"alternate-exchange", false, anyText, "%s is not a valid alternate exchange name"},
		{"consumer-timeout", false, count, "%s is not a valid consumer timeout"},
		{"dead-letter-exchange", false, anyText, "%s is not a valid dead letter exchange name"},
		{"dead-letter-routing-key", false, aKey, "%s is not a valid dead letter routing key"},
		{"dead-letter-strategy", false, oneOf("at-most-once", "at-least-once"), "%s is not a valid dead letter strategy"},
		{"message-ttl", true, number(0, math.MaxUint32), "%s is not a valid message TTL"},
		{"expires", true, number(1, math.MaxUint32), "%s is not a valid queue expiry"},
		{"max-length", true, count, "%s is not a valid maximum length"},
		{"max-length-bytes", true, count, "%s is not a valid maximum length in bytes"},
		{"overflow", true, oneOf("drop-head", "reject-publish", "reject-publish-dlx"), "%s is not a valid overflow value"},
		{"delivery-limit", true, number(-1, math.MaxUint32), "%s is not a valid delivery limit"},

		{"delayed-retry-type", false, oneOf("disabled", "all", "failed", "returned"), "%s is not a valid delayed retry type"},
		{"delayed-retry-min", false, number(1, math.MaxUint32), "%s is not a valid delayed retry time"},
		{"delayed-retry-max", false, number(1, math.MaxUint32), "%s is not a valid delayed retry time"},

		{"max-in-memory-length", true, count, "%s is not a valid maximum memory in bytes"},
		{"max-in-memory-bytes", true, count, "%s is not a valid maximum memory in bytes"},
		{"queue-mode", false, oneOf("default", "lazy"), "%s is not a valid queue-mode value"},
		{"queue-version", true, number(1, 2), "%s is not a valid queue-version value"},
		{"max-age", false, anyText, "%s is not a valid max age"},
		{"stream-max-segment-size-bytes", false, count, "%s is not a valid segment size"},
		{"stream-filter-size-bytes", false, number(16, 255), "%s is not a valid filter size"},
		{"initial-cluster-size", false, count, "%s is not a valid cluster size"},
		{"target-group-size", true, number(1, math.MaxInt64), "%s is not a valid target group size"},
		{"queue-leader-locator", false, oneOf("client-local", "balanced", "random", "least-leaders"), "%s is not a valid queue leader locator value"},
		{"queue-master-locator", false, oneOf("client-local", "min-masters", "random"), "%s is not a valid queue master locator"},
		{"replicas", true, replicas, `replicas takes an integer greater than 0 or "all", %s given`},
		{"sync", true, oneOf(syncWords()...), "%s is not a valid sync value"},
		{"ha-mode", true, oneOf("all", "exactly", "nodes"), "%s is not a valid ha-mode value"},
		{"ha-params", true, nil, ""},
		{"ha-sync-mode", true, oneOf("manual", "automatic"), `ha-sync-mode must be "manual" or "automatic", got %s`},
		{"ha-sync-batch-size", true, number(1, math.MaxInt64), "ha-sync-batch-size takes an integer greater than 0, %s given"},
		{"ha-promote-on-shutdown", true, oneOf("always", "when-synced"), `ha-promote-on-shutdown must be "always" or "when-synced", got %s`},
		{"ha-promote-on-failure", true, oneOf("always", "when-synced"), `ha-promote-on-failure must be "always" or "when-synced", got %s`},
	}
}

// checkDefinition returns what RabbitMQ says to a definition that it does not
// take, or nothing.
func checkDefinition(def message.Table, operator bool) string {
	if len(def) == 0 {
		return "no policy provided"
	}
	var unknown message.Table
	for name, v := range def.All() {
		i := slices.IndexFunc(policyKeys(), func(k policyKey) bool { return k.name == name && (k.operator || !operator) })
		if i < 0 {
			unknown = message.AppendField(unknown, name, v)
			continue
		}
		if k := policyKeys()[i]; k.valid != nil && !k.valid(v) {
			return fmt.Sprintf(k.fault, term(v))
		}
	}
	if len(unknown) > 0 {
		return terms(unknown) + " are not recognised policy settings"
	}
	if kind, ok := def.Lookup("delayed-retry-type"); ok {
		text, _ := kind.Text()
		if _, least := def.Lookup("delayed-retry-min"); text != "disabled" && !least {
			return "delayed-retry-min must be specified to specify delayed-retry-type"
		}
	}
	return checkMirrors(def)
}

// checkMirrors checks the words of mirrored queues together.
func checkMirrors(def message.Table) string {
	mode, hasMode := def.Lookup("ha-mode")
	params, hasParams := def.Lookup("ha-params")
	if !hasMode {
		for _, name := range []string{"ha-params", "ha-sync-mode", "ha-sync-batch-size", "ha-promote-on-shutdown", "ha-promote-on-failure"} {
			if _, ok := def.Lookup(name); ok {
				return "ha-mode must be specified to specify " + name
			}
		}
		return ""
	}
	switch text, _ := mode.Text(); text {
	case "all":
		if hasParams {
			return `ha-mode="all" does not take parameters`
		}
	case "exactly":
		if n, ok := params.Int(); !ok || n < 1 {
			return fmt.Sprintf(`ha-mode="exactly" takes an integer, %s given`, term(params))
		}
	case "nodes":
		names := params.Values(nil)
		if params.Kind() != message.List || len(names) == 0 || slices.ContainsFunc(names, func(v message.Value) bool { return !anyText(v) }) {
			return fmt.Sprintf(`ha-mode="nodes" takes a non-empty list of node names, %s given`, term(params))
		}
	}
	return ""
}
