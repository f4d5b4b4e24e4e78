package wire

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// TestAgainstGoClient lets the Go client that RabbitMQ maintains talk to a
// scripted server made of this package: what it encodes we decode (and encode
// again, to the same bytes), what we encode it decodes.
func TestAgainstGoClient(t *testing.T) {
	near, far := net.Pipe()
	s := &scriptedServer{conn: far, done: make(chan struct{})}
	go s.run()
	driveGoClient(t, near)
	<-s.done
	if s.err != nil {
		t.Fatal(s.err)
	}
	got := strings.Join(s.seen, "")
	if got != wantFromGoClient {
		t.Errorf("the client said\n%s\nwant\n%s", got, wantFromGoClient)
	}
}

func everyGoValue() amqp.Table {
	return amqp.Table{
		"A": []any{"s", int32(-1), amqp.Table{"in": true}},
		"B": byte(255),
		"D": amqp.Decimal{Scale: 2, Value: 123},
		"F": amqp.Table{"x-match": "all"},
		"I": int32(-5),
		"S": "text",
		"T": time.Unix(1704067200, 0),
		"V": nil,
		"b": int8(-1),
		"d": 2.5,
		"f": float32(1.5),
		"i": uint32(7),
		"l": int64(-1 << 62),
		"s": int16(-300),
		"t": true,
		"u": uint16(65535),
		"x": []byte{0, 1, 2},
	}
}

func everyValue() Table {
	return Table{
		{"A", Array(String("s"), Int32(-1), TableOf(Table{{"in", Bool(true)}}))},
		{"B", Uint8(255)},
		{"D", DecimalOf(Decimal{Scale: 2, Value: 123})},
		{"F", TableOf(Table{{"x-match", String("all")}})},
		{"I", Int32(-5)},
		{"S", String("text")},
		{"T", Timestamp(1704067200)},
		{"V", Void()},
		{"b", Int8(-1)},
		{"d", Float64(2.5)},
		{"f", Float32(1.5)},
		{"i", Uint32(7)},
		{"l", Int64(-1 << 62)},
		{"s", Int16(-300)},
		{"t", Bool(true)},
		{"u", Uint16(65535)},
		{"x", Bytes([]byte{0, 1, 2})},
	}
}

func driveGoClient(t *testing.T, conn net.Conn) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	c, err := amqp.Open(conn, amqp.Config{
		SASL: []amqp.Authentication{&amqp.PlainAuth{Username: "u", Password: "p"}}, Vhost: "/v",
		Properties: amqp.Table{"product": "test"}, FrameSize: FrameMinSize, Heartbeat: time.Hour, Locale: "en_US",
	})
	must(err)
	ch, err := c.Channel()
	must(err)
	must(ch.ExchangeDeclare("e", "headers", true, false, true, false, everyGoValue()))
	must(ch.ExchangeBind("to", "k", "from", false, nil))
	must(ch.ExchangeUnbind("to", "k", "from", false, nil))
	q, err := ch.QueueDeclare("q", true, false, true, false, amqp.Table{"x-max-length": int64(1) << 40})
	must(err)
	if q.Name != "q" || q.Messages != 5 || q.Consumers != 2 {
		t.Errorf("declare-ok read as %+v", q)
	}
	must(ch.QueueBind("q", "k", "e", false, everyGoValue()))
	must(ch.QueueUnbind("q", "k", "e", nil))
	must(ch.Qos(100, 0, true))
	must(ch.Confirm(false))
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, 2))
	returns := ch.NotifyReturn(make(chan amqp.Return, 1))
	must(ch.Publish("e", "k", true, false, amqp.Publishing{
		Headers: everyGoValue(), ContentType: "text/plain", ContentEncoding: "utf-8", DeliveryMode: 2, Priority: 9,
		CorrelationId: "c", ReplyTo: "r", Expiration: "1000", MessageId: "m", Timestamp: time.Unix(1704067200, 0),
		Type: "t", UserId: "u", AppId: "a", Body: bytes.Repeat([]byte("b"), 20000),
	}))
	if r := <-returns; r.ReplyCode != 312 || r.ReplyText != "NO_ROUTE" || len(r.Body) != 20000 || r.CorrelationId != "c" {
		t.Errorf("return read as %d %q, %d bytes", r.ReplyCode, r.ReplyText, len(r.Body))
	}
	if x := <-confirms; !x.Ack || x.DeliveryTag != 1 {
		t.Errorf("confirm read as %+v", x)
	}
	deliveries, err := ch.Consume("q", "tag", false, true, false, false, nil)
	must(err)
	d := <-deliveries
	checkDelivery(t, d)
	must(d.Ack(true))
	must(ch.Nack(2, true, true))
	must(ch.Reject(3, true))
	must(ch.Cancel("tag", false))
	g, ok, err := ch.Get("q", true)
	must(err)
	if !ok || g.MessageCount != 9 || string(g.Body) != "got" || g.DeliveryTag != 4 {
		t.Errorf("get-ok read as %+v", g)
	}
	_, ok, err = ch.Get("empty", false)
	must(err)
	if ok {
		t.Error("get-empty read as a message")
	}
	n, err := ch.QueuePurge("q", false)
	must(err)
	if n != 3 {
		t.Errorf("purge-ok read as %d", n)
	}
	n, err = ch.QueueDelete("q", true, false, false)
	must(err)
	if n != 4 {
		t.Errorf("delete-ok read as %d", n)
	}
	must(ch.ExchangeDelete("e", true, false))
	must(ch.Tx())
	must(ch.TxCommit())
	must(ch.TxRollback())
	must(c.UpdateSecret("new", "expired"))
	_, err = ch.QueueDeclarePassive("missing", false, false, false, false, nil)
	if e, ok := err.(*amqp.Error); !ok || e.Code != 404 || e.Reason != "NOT_FOUND - no queue 'missing' in vhost '/v'" {
		t.Errorf("channel.close read as %v", err)
	}
	must(c.Close())
}

func checkDelivery(t *testing.T, d amqp.Delivery) {
	t.Helper()
	if d.ConsumerTag != "tag" || d.DeliveryTag != 1 || !d.Redelivered || d.Exchange != "e" || d.RoutingKey != "k" {
		t.Errorf("deliver read as %+v", d)
	}
	if d.ContentType != "text/plain" || d.Priority != 9 || d.Expiration != "1000" || len(d.Body) != 20000 {
		t.Errorf("delivered properties read as %+v", d)
	}
	if got, want := fmt.Sprint(d.Headers), fmt.Sprint(everyGoValue()); got != want {
		t.Errorf("delivered headers read as %s, want %s", got, want)
	}
}

const allDumped = `{"A": A [S "s", I -1, F {"in": t true}], "B": B 255, "D": D 123/10^2, "F": F {"x-match": S "all"}, "I": I -5, ` +
	`"S": S "text", "T": T 1704067200, "V": V, "b": b -1, "d": d 2.5, "f": f 1.5, "i": i 7, "l": l -4611686018427387904, ` +
	`"s": s -300, "t": t true, "u": u 65535, "x": x 000102}`

const wantFromGoClient = `connection.start-ok ClientProperties={"capabilities": F {"...": V}, "product": S "test"} Mechanism="PLAIN" Response="\x00u\x00p" Locale="en_US"
connection.tune-ok ChannelMax=2047 FrameMax=8192 Heartbeat=60
connection.open VirtualHost="/v"
channel.open
exchange.declare Exchange="e" Type="headers" Passive=false Durable=true AutoDelete=false Internal=true NoWait=false Arguments=` + allDumped + `
exchange.bind Destination="to" Source="from" RoutingKey="k" NoWait=false Arguments={}
exchange.unbind Destination="to" Source="from" RoutingKey="k" NoWait=false Arguments={}
queue.declare Queue="q" Passive=false Durable=true Exclusive=true AutoDelete=false NoWait=false Arguments={"x-max-length": l 1099511627776}
queue.bind Queue="q" Exchange="e" RoutingKey="k" NoWait=false Arguments=` + allDumped + `
queue.unbind Queue="q" Exchange="e" RoutingKey="k" Arguments={}
basic.qos PrefetchSize=0 PrefetchCount=100 Global=true
confirm.select NoWait=false
basic.publish Exchange="e" RoutingKey="k" Mandatory=true Immediate=false
header 20000 text/plain utf-8 2 9 c r 1000 m 1704067200 t u a ` + allDumped + `
body 8184
body 8184
body 3632
basic.consume Queue="q" ConsumerTag="tag" NoLocal=false NoAck=false Exclusive=true NoWait=false Arguments={}
basic.ack DeliveryTag=1 Multiple=true
basic.nack DeliveryTag=2 Multiple=true Requeue=true
basic.reject DeliveryTag=3 Requeue=true
basic.cancel ConsumerTag="tag" NoWait=false
basic.get Queue="q" NoAck=true
basic.get Queue="empty" NoAck=false
queue.purge Queue="q" NoWait=false
queue.delete Queue="q" IfUnused=true IfEmpty=false NoWait=false
exchange.delete Exchange="e" IfUnused=true NoWait=false
tx.select
tx.commit
tx.rollback
connection.update-secret NewSecret="new" Reason="expired"
queue.declare Queue="missing" Passive=true Durable=false Exclusive=false AutoDelete=false NoWait=false Arguments={}
channel.close-ok
connection.close ReplyCode=SUCCESS ReplyText="kthxbai" ClassID=0 MethodID=0
`

// A scriptedServer answers each method with what the script says.
type scriptedServer struct {
	conn  net.Conn
	seen  []string
	props Props
	body  []byte
	err   error
	done  chan struct{}
}

func (s *scriptedServer) run() {
	defer close(s.done)
	defer s.conn.Close()
	buf := make([]byte, 0, 1<<16)
	greeted := false
	for {
		n, err := s.conn.Read(buf[len(buf):cap(buf)])
		if err != nil {
			return // the client hung up
		}
		buf = buf[:len(buf)+n]
		if !greeted {
			if ParseProtocol(buf) != Protocol091 {
				s.err = fmt.Errorf("protocol header %q", buf)
				return
			}
			greeted, buf = true, buf[:0]
			s.send((&ConnectionStart{VersionMinor: 9, ServerProperties: everyValue(), Mechanisms: "AMQPLAIN PLAIN", Locales: "en_US"}).AppendFrame(nil, 0))
			continue
		}
		for {
			f, n, err := ScanFrame(buf, FrameMinSize)
			if err == nil && n > 0 {
				err = s.frame(f, buf[:n])
			}
			if err != nil {
				s.err = err
				return
			}
			if n == 0 {
				break
			}
			buf = append(buf[:0], buf[n:]...)
		}
	}
}

func (s *scriptedServer) send(b []byte) {
	if _, err := s.conn.Write(b); err != nil && s.err == nil {
		s.err = err
	}
}

func (s *scriptedServer) frame(f Frame, raw []byte) error {
	switch f.Type {
	case FrameHeader:
		return s.header(f, raw)
	case FrameBody:
		s.seen = append(s.seen, fmt.Sprintf("body %d\n", len(f.Payload)))
		s.body = append(s.body, f.Payload...)
		if len(s.body) == 20000 {
			r := BasicReturn{ReplyCode: CodeNoRoute, ReplyText: []byte("NO_ROUTE"), Exchange: []byte("e"), RoutingKey: []byte("k")}
			s.send(AppendAck(s.content(r.AppendFrame(nil, f.Channel), f.Channel, s.body), f.Channel, 1, false))
		}
		return nil
	case FrameMethod:
	default:
		return nil
	}
	m, err := DecodeMethod(f.Payload)
	if err != nil {
		return err
	}
	if again := m.AppendFrame(nil, f.Channel); !bytes.Equal(again, raw) {
		return fmt.Errorf("%v encoded again as %x, was %x", m.ID(), again, raw)
	}
	s.seen = append(s.seen, dumpMethod(inOrder(m)))
	s.answer(f.Channel, m)
	return nil
}

// inOrder sorts the tables of a method: the client sends its maps in any order.
func inOrder(m Method) Method {
	byKey := func(a, b Field) int { return strings.Compare(a.Key, b.Key) }
	switch m := m.(type) {
	case *ConnectionStartOK:
		slices.SortFunc(m.ClientProperties, byKey)
		for i, f := range m.ClientProperties {
			if f.Key == "capabilities" {
				m.ClientProperties[i].Value = TableOf(Table{{"...", Void()}})
			}
		}
	case *ExchangeDeclare:
		slices.SortFunc(m.Arguments, byKey)
	case *QueueBind:
		slices.SortFunc(m.Arguments, byKey)
	}
	return m
}

func (s *scriptedServer) header(f Frame, raw []byte) error {
	h, err := DecodeHeader(f.Payload)
	if err != nil {
		return err
	}
	if again := AppendHeader(nil, f.Channel, h.Props, h.BodySize); !bytes.Equal(again, raw) {
		return fmt.Errorf("header encoded again as %x, was %x", again, raw)
	}
	s.props = append(Props(nil), h.Props...)
	p, err := h.Props.Decode()
	if err != nil {
		return err
	}
	slices.SortFunc(p.Headers, func(a, b Field) int { return strings.Compare(a.Key, b.Key) })
	s.seen = append(s.seen, fmt.Sprintln("header", h.BodySize, p.ContentType, p.ContentEncoding, p.DeliveryMode, p.Priority,
		p.CorrelationID, p.ReplyTo, p.Expiration, p.MessageID, p.Timestamp, p.Type, p.UserID, p.AppID, dumpTable(p.Headers)))
	return nil
}

// content appends header and body with the properties last published.
func (s *scriptedServer) content(dst []byte, channel uint16, body []byte) []byte {
	dst = AppendHeader(dst, channel, s.props, uint64(len(body)))
	return AppendBodyFrames(dst, channel, body, FrameMinSize)
}

func (s *scriptedServer) answer(channel uint16, m Method) {
	send := func(answers ...Method) {
		var out []byte
		for _, a := range answers {
			out = a.AppendFrame(out, channel)
		}
		s.send(out)
	}
	switch m := m.(type) {
	case *ConnectionStartOK:
		send(&ConnectionTune{ChannelMax: 2047, FrameMax: DefaultFrameMax, Heartbeat: 60})
	case *ConnectionOpen:
		send(&ConnectionOpenOK{})
	case *ConnectionUpdateSecret:
		send(&ConnectionUpdateSecretOK{})
	case *ConnectionClose:
		send(&ConnectionCloseOK{})
	case *ChannelOpen:
		send(&ChannelOpenOK{})
	case *ExchangeDeclare:
		send(&ExchangeDeclareOK{})
	case *ExchangeBind:
		send(&ExchangeBindOK{})
	case *ExchangeUnbind:
		send(&ExchangeUnbindOK{})
	case *ExchangeDelete:
		send(&ExchangeDeleteOK{})
	case *QueueDeclare:
		if m.Passive {
			text := ReplyText(CodeNotFound, "no queue 'missing' in vhost '/v'")
			send(&ChannelClose{ReplyCode: CodeNotFound, ReplyText: text, ClassID: m.ID().Class(), MethodID: m.ID().Method()})
			return
		}
		send(&QueueDeclareOK{Queue: m.Queue, MessageCount: 5, ConsumerCount: 2})
	case *QueueBind:
		send(&QueueBindOK{})
	case *QueueUnbind:
		send(&QueueUnbindOK{})
	case *QueuePurge:
		send(&QueuePurgeOK{MessageCount: 3})
	case *QueueDelete:
		send(&QueueDeleteOK{MessageCount: 4})
	case *BasicQos:
		send(&BasicQosOK{})
	case *ConfirmSelect:
		send(&ConfirmSelectOK{})
	case *BasicConsume:
		out := (&BasicConsumeOK{ConsumerTag: m.ConsumerTag}).AppendFrame(nil, channel)
		out = AppendDeliver(out, channel, m.ConsumerTag, 1, true, []byte("e"), []byte("k"))
		s.send(s.content(out, channel, s.body))
	case *BasicCancel:
		send(&BasicCancelOK{ConsumerTag: m.ConsumerTag})
	case *BasicGet:
		if m.Queue == "empty" {
			send(&BasicGetEmpty{})
			return
		}
		g := BasicGetOK{DeliveryTag: 4, RoutingKey: []byte("q"), MessageCount: 9}
		s.send(s.content(g.AppendFrame(nil, channel), channel, []byte("got")))
	case *TxSelect:
		send(&TxSelectOK{})
	case *TxCommit:
		send(&TxCommitOK{})
	case *TxRollback:
		send(&TxRollbackOK{})
	}
}
