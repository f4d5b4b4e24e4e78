import datetime

import pika
import pytest
from conftest import arrives, contents, depth, put, take
from starter import eventually


def check(entry, reason, queue, exchange, count, keys):
    assert {k: v for k, v in entry.items() if k not in ("time", "original-expiration")} == {
        "reason": reason, "queue": queue, "exchange": exchange, "count": count, "routing-keys": keys}
    age = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) - entry["time"].replace(tzinfo=None)
    assert abs(age) < datetime.timedelta(minutes=1)


@pytest.mark.parametrize("how", ["reject", "nack"])
def test_rejected(channel, durable, unique, how):
    dlx = unique()
    channel.exchange_declare(dlx, "topic", auto_delete=True)
    graves = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(graves, dlx, "#")
    queue = durable({"x-dead-letter-exchange": dlx})
    channel.queue_bind(queue, "amq.direct", "job.red")
    channel.confirm_delivery()
    channel.basic_publish("amq.direct", "job.red", "x", pika.BasicProperties(headers={"mine": "kept"}, message_id="m"))
    (method, _, _), = take(channel, queue, 1)
    getattr(channel, "basic_" + how)(method.delivery_tag, requeue=False)
    method, properties, body = arrives(channel, graves)
    assert (method.exchange, method.routing_key, body, properties.message_id) == (dlx, "job.red", b"x", "m")
    assert properties.headers["mine"] == "kept"
    check(properties.headers["x-death"][0], "rejected", queue, "amq.direct", 1, ["job.red"])
    assert [properties.headers["x-first-death-" + k] for k in ("reason", "queue", "exchange")] == ["rejected", queue, "amq.direct"]


@pytest.mark.parametrize("by", ["queue", "message"])
def test_expired(channel, durable, by):
    graves = durable()
    queue = durable({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": graves} | ({"x-message-ttl": 5} if by == "queue" else {}))
    channel.confirm_delivery()
    channel.basic_publish("", queue, "x", pika.BasicProperties(expiration="5" if by == "message" else None))
    method, properties, _ = arrives(channel, graves)
    death, = properties.headers["x-death"]
    check(death, "expired", queue, "", 1, [queue])
    assert death.get("original-expiration") == ("5" if by == "message" else None)
    assert (method.routing_key, properties.expiration) == (graves, None)


def test_too_long(channel, durable):
    graves = durable()
    queue = durable({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": graves, "x-max-length": 2})
    put(channel, queue, *"abcd")
    got = [arrives(channel, graves) for _ in range(2)]
    assert [body for _, _, body in got] == [b"a", b"b"]
    check(got[0][1].headers["x-death"][0], "maxlen", queue, "", 1, [queue])
    assert contents(channel, queue) == ["c", "d"]


def test_retries_count(channel, unique):
    """Work is rejected into a queue where it waits and comes back from."""
    work, wait = unique(), unique()
    channel.queue_declare(work, exclusive=True, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": wait})
    channel.queue_declare(wait, exclusive=True, arguments={
        "x-dead-letter-exchange": "", "x-dead-letter-routing-key": work, "x-message-ttl": 5})
    put(channel, work, "job")
    for tries in range(4):
        (method, properties, _), = take(channel, work, 1)
        deaths = (properties.headers or {}).get("x-death", [])
        assert [(d["reason"], d["count"]) for d in deaths] == ([("expired", tries), ("rejected", tries)] if tries else [])
        channel.basic_reject(method.delivery_tag, requeue=False)
        channel.cancel()


def test_short_lives_wait_behind_long_ones(channel, durable):
    """Expiry looks at the head only."""
    queue = durable()
    channel.confirm_delivery()
    channel.basic_publish("", queue, "long", pika.BasicProperties(expiration="600000"))
    channel.basic_publish("", queue, "short", pika.BasicProperties(expiration="1"))
    channel.basic_publish("", queue, "end")
    assert depth(channel, queue) >= 2
    method, _, body = channel.basic_get(queue)
    assert body == b"long"
    eventually("expired at the head", lambda: depth(channel, queue) == 1)
    channel.basic_ack(method.delivery_tag)
    assert contents(channel, queue) == ["end"]


def test_an_unused_queue_expires(connection, channel, unique):
    queue = unique()
    channel.queue_declare(queue, arguments={"x-expires": 100})

    def gone():
        # asking by a declare would renew its lease
        probe = connection.channel()
        probe.confirm_delivery()
        try:
            probe.basic_publish("", queue, "x", mandatory=True)
        except pika.exceptions.UnroutableError:
            return True
        finally:
            probe.close()

    eventually("gone", gone)
