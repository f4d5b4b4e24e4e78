package node

import (
	"context"
	"iter"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/broker"
)

// later is why a plugin is not built.
const later = "it comes in a later release of Warren"

// knownPlugins are those of RabbitMQ, with what there is of them here. What
// depends on a protocol or a type of exchange is asked of them, so that it is
// true in every version.
func knownPlugins() []admin.Plugin {
	serves := func(protocol string) bool { p, ok := LookupProtocol(protocol); return ok && p.Serves }
	none := "Warren has nothing of the kind"
	all := []admin.Plugin{
		{Name: "rabbitmq_amqp1_0", Description: "AMQP 1.0"},
		{Name: "rabbitmq_auth_backend_cache", Description: "Cache of logins", Built: true},
		{Name: "rabbitmq_auth_backend_http", Description: "Logins judged by an HTTP service", Why: none},
		{Name: "rabbitmq_auth_backend_ldap", Description: "Logins judged by a directory", Why: none},
		{Name: "rabbitmq_auth_backend_oauth2", Description: "Logins with tokens", Why: none},
		{Name: "rabbitmq_auth_mechanism_ssl", Description: "Logins with client certificates (SASL EXTERNAL)", Built: true},
		{Name: "rabbitmq_consistent_hash_exchange", Description: "Consistent hash exchange", Built: broker.Offers("x-consistent-hash")},
		{Name: "rabbitmq_delayed_message_exchange", Description: "Delayed message exchange", Built: broker.Offers("x-delayed-message")},
		{Name: "rabbitmq_event_exchange", Description: "Events as messages", Why: none},
		{Name: "rabbitmq_federation", Description: "Federation of exchanges and queues"},
		{Name: "rabbitmq_federation_management", Description: "Federation in the console"},
		{Name: "rabbitmq_jms_topic_exchange", Description: "JMS selector exchange", Built: broker.Offers("x-jms-topic")},
		{Name: "rabbitmq_management", Description: "Management console and HTTP API", Built: serves("http")},
		{Name: "rabbitmq_management_agent", Description: "What the console asks of a node", Built: serves("http")},
		{Name: "rabbitmq_mqtt", Description: "MQTT", Built: serves("mqtt")},
		{Name: "rabbitmq_prometheus", Description: "Metrics for Prometheus", Built: serves("metrics")},
		{Name: "rabbitmq_random_exchange", Description: "Random exchange", Built: broker.Offers("x-random")},
		{Name: "rabbitmq_recent_history_exchange", Description: "Recent history exchange", Built: broker.Offers("x-recent-history")},
		{Name: "rabbitmq_sharding", Description: "Modulus hash exchange", Built: broker.Offers("x-modulus-hash")},
		{Name: "rabbitmq_shovel", Description: "Shovels: messages moved between brokers"},
		{Name: "rabbitmq_shovel_management", Description: "Shovels in the console"},
		{Name: "rabbitmq_stomp", Description: "STOMP", Built: serves("stomp")},
		{Name: "rabbitmq_stream", Description: "Streams"},
		{Name: "rabbitmq_stream_management", Description: "Streams in the console"},
		{Name: "rabbitmq_top", Description: "Processes of Erlang", Why: "there are none here"},
		{Name: "rabbitmq_tracing", Description: "Traced messages in files", Why: "the firehose (trace_on) is there without it"},
		{Name: "rabbitmq_trust_store", Description: "Trusted client certificates", Why: none},
		{Name: "rabbitmq_web_dispatch", Description: "HTTP listeners", Built: serves("http")},
		{Name: "rabbitmq_web_mqtt", Description: "MQTT over WebSockets", Built: serves("ws") && serves("mqtt")},
		{Name: "rabbitmq_web_stomp", Description: "STOMP over WebSockets", Built: serves("ws") && serves("stomp")},
	}
	for i := range all {
		if p := &all[i]; p.Built {
			p.Why = ""
		} else if p.Why == "" {
			p.Why = later
		}
	}
	return all
}

// Plugins implements admin.Plugins.
func (n *Node) Plugins(context.Context, admin.PluginsQuery) iter.Seq2[admin.Plugin, error] {
	return func(yield func(admin.Plugin, error) bool) {
		for _, p := range knownPlugins() {
			if !yield(p, nil) {
				return
			}
		}
	}
}
