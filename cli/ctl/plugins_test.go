package ctl

import (
	"context"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/warrenmq/warren/admin"
)

// pluggable is a node with one plugin, and two that it does not have.
type pluggable struct{ identity }

func (pluggable) Plugins(context.Context, admin.PluginsQuery) iter.Seq2[admin.Plugin, error] {
	return func(yield func(admin.Plugin, error) bool) {
		for _, p := range []admin.Plugin{
			{Name: "rabbitmq_management_agent", Built: true, Description: "agent"},
			{Name: "rabbitmq_mqtt", Why: "it comes in a later release of Warren", Description: "MQTT"},
			{Name: "rabbitmq_stomp", Built: true, Description: "STOMP"},
		} {
			if !yield(p, nil) {
				return
			}
		}
	}
}

// The texts are those of rabbitmq-plugins 3.10.8, where RabbitMQ has such a
// case: see testdata/rabbitmq-3.10.8/plugins.txt.
func TestPlugins(t *testing.T) {
	d := newDesk(t, pluggable{})
	legend := " Configured: E = explicitly enabled; e = implicitly enabled\n | Status: * = running on rabbit@node-01\n |/\n"
	configured := "The following plugins have been configured:\n  rabbitmq_management_agent\n  rabbitmq_stomp\n" +
		"Applying plugin configuration to rabbit@node-01...\nPlugin configuration unchanged.\n"
	stays := "everything is built in: no plugin can be disabled\n"
	for _, tc := range []struct {
		line, out, errs string
		code            int
	}{
		{line: "list", out: "Listing plugins with pattern \".*\" ...\n" + legend +
			"[E*] rabbitmq_management_agent test\n[  ] rabbitmq_mqtt             test\n[E*] rabbitmq_stomp            test\n"},
		{line: "list mqtt|stomp -q", out: "[  ] rabbitmq_mqtt  test\n[E*] rabbitmq_stomp test\n"},
		{line: "list -m", out: "Listing plugins with pattern \".*\" ...\nrabbitmq_management_agent\nrabbitmq_mqtt\nrabbitmq_stomp\n"},
		{line: "-s list -m -E", out: "rabbitmq_management_agent\nrabbitmq_stomp\n"},
		{line: "list -e nosuch", out: "Listing plugins with pattern \"nosuch\" ...\n" + legend},
		{line: "list -q -v mqtt", out: "[  ] rabbitmq_mqtt\n     Version:     \ttest\n     Dependencies:\t[]\n     Description: \tMQTT\n     Not built:   \tit comes in a later release of Warren\n"},
		{line: "list stomp --formatter json", out: `{"format":"normal","plugins":[{"enabled":"enabled","name":"rabbitmq_stomp","running":true,"running_version":"test","version":"test"}],"status":"running"}` + "\n"},
		{line: "enable rabbitmq_stomp", out: "Enabling plugins on node rabbit@node-01:\nrabbitmq_stomp\n" + configured},
		{line: "enable --offline rabbitmq_stomp -q", out: configured},
		{line: "enable --all", out: "Enabling ALL plugins on node rabbit@node-01\n" + configured},
		{
			line: "enable rabbitmq_mqtt", out: "Enabling plugins on node rabbit@node-01:\nrabbitmq_mqtt\n",
			errs: "Error:\n{:plugins_not_found, [:rabbitmq_mqtt]}\nrabbitmq_mqtt: it comes in a later release of Warren\n", code: exitSoftware,
		},
		{line: "enable nosuch_plugin", out: "Enabling plugins on node rabbit@node-01:\nnosuch_plugin\n", errs: "Error:\n{:plugins_not_found, [:nosuch_plugin]}\n", code: exitSoftware},
		{line: "disable rabbitmq_stomp", out: "Disabling plugins on node rabbit@node-01:\nrabbitmq_stomp\n" + configured, errs: stays},
		{line: "disable nosuch", out: "Disabling plugins on node rabbit@node-01:\nnosuch\n" + configured, errs: stays},
		{line: "set rabbitmq_stomp", out: "Enabling plugins on node rabbit@node-01:\nrabbitmq_stomp\n" + configured, errs: stays},
		{line: "is_enabled rabbitmq_stomp", out: "Asking node rabbit@node-01 if plugin rabbitmq_stomp is enabled...\nPlugin rabbitmq_stomp is enabled on node rabbit@node-01\n"},
		{line: "is_enabled rabbitmq_stomp rabbitmq_management_agent", out: "Asking node rabbit@node-01 if plugins rabbitmq_stomp, rabbitmq_management_agent are enabled...\n" +
			"Plugins rabbitmq_stomp, rabbitmq_management_agent are enabled on node rabbit@node-01\n"},
		{
			line: "is_enabled rabbitmq_mqtt rabbitmq_stomp", out: "Asking node rabbit@node-01 if plugins rabbitmq_mqtt, rabbitmq_stomp are enabled...\n",
			errs: "Error:\nPlugin rabbitmq_mqtt is not enabled on node rabbit@node-01. Enabled plugins and dependencies: rabbitmq_management_agent, rabbitmq_stomp\n", code: exitUnavailable,
		},
	} {
		if code := d.runAs("rabbitmq-plugins", strings.Fields(tc.line)...); code != tc.code || d.out.String() != tc.out || d.errs.String() != tc.errs {
			t.Errorf("%s: exit code %d\nprinted %q\nwant    %q\nerrors %q\nwant   %q", tc.line, code, d.out.String(), tc.out, d.errs.String(), tc.errs)
		}
	}
	if code := d.runAs("rabbitmq-plugins", "enable"); code != exitUsage || !strings.Contains(d.errs.String(), "not enough arguments.") {
		t.Errorf("enable what: %d, %s", code, d.errs.String())
	}
	if code := d.runAs("rabbitmq-plugins", "directories"); code != exitOK || !strings.HasPrefix(d.out.String(), "Listing plugin directories used by node rabbit@node-01\nPlugin archives directory: ") {
		t.Errorf("directories: %d, %s", code, d.out.String())
	}
	if code := d.runAs("rabbitmqctl", "list"); code != exitUsage {
		t.Error("rabbitmqctl has a verb of rabbitmq-plugins")
	}
}

// A node lists every plugin that RabbitMQ 3.10.8 has and a user may ask for, and
// calls built what it serves.
func TestPluginsOfANode(t *testing.T) {
	n := newNode(t, t.TempDir(), nil)
	d := &desk{t: t, env: map[string]string{}, dir: n.dir}
	if code := d.runAs("rabbitmq-plugins", "list", "-s", "-m"); code != exitOK {
		t.Fatal(code, d.errs.String())
	}
	have := strings.Fields(d.out.String())
	if !slices.IsSorted(have) {
		t.Errorf("not sorted: %v", have)
	}
	for _, name := range strings.Fields("rabbitmq_amqp1_0 rabbitmq_auth_mechanism_ssl rabbitmq_consistent_hash_exchange rabbitmq_delayed_message_exchange " +
		"rabbitmq_federation rabbitmq_management rabbitmq_mqtt rabbitmq_prometheus rabbitmq_shovel rabbitmq_stomp rabbitmq_stream") {
		if !slices.Contains(have, name) {
			t.Errorf("%s is not known", name)
		}
	}
	if d.runAs("rabbitmq-plugins", "is_enabled", "rabbitmq_mqtt", "-q") != exitUnavailable {
		t.Error("a protocol that is not served is enabled")
	}
}
