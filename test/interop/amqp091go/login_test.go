//go:build interop

package amqp091go

import (
	"errors"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func dialError(t *testing.T, url string, config amqp.Config) *amqp.Error {
	t.Helper()
	conn, err := amqp.DialConfig(url, config)
	if err == nil {
		conn.Close()
		t.Fatal("logged in")
	}
	var e *amqp.Error
	if !errors.As(err, &e) {
		t.Fatalf("not the broker's answer: %v", err)
	}
	return e
}

func TestLogin(t *testing.T) {
	at := shared.address(t, "amqp")
	for _, auth := range []amqp.Authentication{
		&amqp.PlainAuth{Username: "guest", Password: "guest"}, &amqp.AMQPlainAuth{Username: "guest", Password: "guest"},
	} {
		conn, err := amqp.DialConfig("amqp://"+at+"/", amqp.Config{SASL: []amqp.Authentication{auth}})
		must(t, err)
		channelOf(t, conn)
		must(t, conn.Close())
	}
	// The client turns the broker's 403 into an error of its own with that code.
	for _, user := range []string{"guest:wrong", "nobody:guest"} {
		want(t, user, dialError(t, "amqp://"+user+"@"+at+"/", amqp.Config{}).Code, 403)
	}
	e := dialError(t, "amqp://guest:guest@"+at+"/nowhere", amqp.Config{})
	want(t, "unknown vhost", e.Code, 530)
}

func TestServerProperties(t *testing.T) {
	conn := shared.dial(t)
	for _, key := range []string{"product", "version", "platform", "copyright", "information", "cluster_name"} {
		if s, _ := conn.Properties[key].(string); s == "" {
			t.Errorf("server property %s: %v", key, conn.Properties[key])
		}
	}
	capabilities, _ := conn.Properties["capabilities"].(amqp.Table)
	for _, key := range []string{
		"publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify", "connection.blocked",
		"consumer_priorities", "authentication_failure_close", "per_consumer_qos",
	} {
		want(t, key, capabilities[key], any(true))
	}
}

func TestNegotiation(t *testing.T) {
	url := "amqp://guest:guest@" + shared.address(t, "amqp") + "/"
	conn, err := amqp.DialConfig(url, amqp.Config{ChannelMax: 3, FrameSize: 8192, Heartbeat: 5 * time.Second})
	must(t, err)
	defer conn.Close()
	want(t, "channel max", conn.Config.ChannelMax, uint16(3))
	want(t, "frame max", conn.Config.FrameSize, 8192)
	want(t, "heartbeat", conn.Config.Heartbeat, 5*time.Second)
	plain := shared.dial(t)
	want(t, "channel max offered", plain.Config.ChannelMax, uint16(2047))
	want(t, "frame max offered", plain.Config.FrameSize, 131072)
}

// Heartbeats keep an idle connection alive both ways, longer than two intervals.
func TestHeartbeats(t *testing.T) {
	conn, err := amqp.DialConfig("amqp://guest:guest@"+shared.address(t, "amqp")+"/", amqp.Config{Heartbeat: time.Second})
	must(t, err)
	defer conn.Close()
	select {
	case e := <-conn.NotifyClose(make(chan *amqp.Error, 1)):
		t.Fatalf("closed: %v", e)
	case <-time.After(5 * time.Second):
	}
	channelOf(t, conn)
}
