import pika
import pytest
from conftest import PATIENCE, contents, depth, put


def test_confirm_each(channel, durable):
    queue = durable()
    put(channel, queue, *[str(i) for i in range(100)])
    assert contents(channel, queue) == [str(i) for i in range(100)]


def test_confirms_asynchronous_and_multiple(broker, channel, durable):
    """Every publish is answered once, whether alone or within a multiple."""
    queue, count = durable(), 3000
    waiting, answers = set(range(1, count + 1)), []

    def opened(conn):
        conn.channel(on_open_callback=ready)

    def ready(ch):
        ch.confirm_delivery(answered, callback=lambda _: [
            ch.basic_publish("", queue, str(i), pika.BasicProperties(delivery_mode=2)) for i in range(count)])

    def answered(frame):
        answers.append(frame.method)
        tag = frame.method.delivery_tag
        covered = {t for t in waiting if t <= tag} if frame.method.multiple else {tag}
        assert covered and covered <= waiting, f"{frame.method} answers again"
        waiting.difference_update(covered)
        if not waiting:
            conn.close()

    conn = pika.SelectConnection(broker.parameters(), on_open_callback=opened,
                                 on_close_callback=lambda c, reason: c.ioloop.stop())
    conn.ioloop.call_later(PATIENCE, conn.ioloop.stop)
    conn.ioloop.start()
    assert not waiting, f"{len(waiting)} unconfirmed"
    assert all(isinstance(a, pika.spec.Basic.Ack) for a in answers)
    assert depth(channel, queue) == count


def test_mandatory_return(channel):
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.UnroutableError) as caught:
        channel.basic_publish("amq.direct", "no.such.key", "body",
                              pika.BasicProperties(message_id="m"), mandatory=True)
    returned = caught.value.messages[0]
    assert (returned.method.reply_code, returned.method.reply_text) == (312, "NO_ROUTE")
    assert (returned.method.exchange, returned.method.routing_key) == ("amq.direct", "no.such.key")
    assert (returned.properties.message_id, returned.body) == ("m", b"body")
    channel.basic_publish("amq.direct", "no.such.key", "body")  # not mandatory: confirmed and gone


def test_reject_publish_nacks(channel, durable):
    queue = durable({"x-max-length": 1, "x-overflow": "reject-publish"})
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.NackError):
        for _ in range(1000):
            channel.basic_publish("", queue, "x", mandatory=True)


def test_properties(channel, durable):
    queue = durable()
    sent = pika.BasicProperties(
        content_type="text/plain", content_encoding="utf-8", delivery_mode=2, priority=3, correlation_id="c",
        reply_to="r", expiration="60000", message_id="m", timestamp=1700000000, type="t", user_id="guest", app_id="a",
        headers={"s": "ä", "i": 1, "big": 1 << 40, "neg": -5, "yes": True, "none": None,
                 "list": ["x", 1, {"deep": [False]}], "table": {"in": {"side": 1}}, "bytes": b"\x00\xce".decode("latin1")})
    channel.confirm_delivery()
    channel.basic_publish("", queue, "", sent, mandatory=True)
    _, received, body = channel.basic_get(queue, auto_ack=True)
    assert body == b""
    assert received == sent


def test_body_over_many_frames(broker, durable):
    conn = broker.dial(frame_max=8192)
    channel, queue, body = conn.channel(), durable(), bytes(range(256)) * 4096
    channel.confirm_delivery()
    channel.basic_publish("", queue, body, mandatory=True)
    assert channel.basic_get(queue, auto_ack=True)[2] == body
    conn.close()
