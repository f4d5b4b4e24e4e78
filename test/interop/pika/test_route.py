import os
import re
import time

import pytest
from conftest import contents, eventually
from pika.exceptions import ChannelClosedByBroker


@pytest.fixture
def exchange(channel, unique):
    def declare(kind, **more):
        name = unique()
        channel.exchange_declare(name, kind, auto_delete=True, **more)
        return name

    return declare


@pytest.fixture
def bound(channel):
    def bind(exchange, key="", arguments=None):
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, exchange, key, arguments)
        return queue

    return bind


@pytest.mark.parametrize("pattern,hits", [
    ("#", ["a", "a.b", "a.b.c", ""]), ("*", ["a"]), ("a.*", ["a.b"]), ("a.#", ["a", "a.b", "a.b.c"]),
    ("*.b.#", ["a.b", "a.b.c"]), ("#.c", ["a.b.c"]), ("a.b.c", ["a.b.c"]), ("x", []),
])
def test_topic(channel, exchange, bound, pattern, hits):
    topic = exchange("topic")
    queue = bound(topic, pattern)
    channel.confirm_delivery()
    for key in ["a", "a.b", "a.b.c", ""]:
        channel.basic_publish(topic, key, key)
    assert contents(channel, queue) == hits


@pytest.mark.parametrize("binding,headers,hit", [
    ({"x-match": "all", "a": "1", "b": 2}, {"a": "1", "b": 2, "c": 3}, True),
    ({"x-match": "all", "a": "1", "b": 2}, {"a": "1"}, False),
    ({"x-match": "any", "a": "1", "b": 2}, {"b": 2}, True),
    ({"x-match": "any", "a": "1", "b": 2}, {"b": "2"}, False),
    ({"a": None}, {"a": "anything"}, True),
    ({"a": True}, {"a": True}, True),
    ({"a": True}, {}, False),
])
def test_headers(channel, exchange, bound, binding, headers, hit):
    import pika
    name = exchange("headers")
    queue = bound(name, arguments=binding)
    channel.confirm_delivery()
    channel.basic_publish(name, "", "x", pika.BasicProperties(headers=headers))
    assert contents(channel, queue) == (["x"] if hit else [])


def test_direct_fanout_and_exchange_binding(channel, exchange, bound):
    fanout, direct = exchange("fanout"), exchange("direct")
    one, two = bound(direct, "one"), bound(direct, "two")
    channel.exchange_bind(direct, fanout)
    channel.confirm_delivery()
    for key in ["one", "two", "three"]:
        channel.basic_publish(fanout, key, key)
    assert (contents(channel, one), contents(channel, two)) == (["one"], ["two"])


@pytest.mark.skipif(os.environ.get("BROKER") == "rabbitmq", reason="Debian has no package of the plug-in")
def test_delayed(channel, exchange, bound):
    import pika
    later = exchange("x-delayed-message", arguments={"x-delayed-type": "topic"})
    queue = bound(later, "a.*")
    channel.confirm_delivery()
    for delay in [900, "300", 600, None, 0, -5]:
        headers = {} if delay is None else {"x-delay": delay}
        channel.basic_publish(later, "a.b", str(delay), pika.BasicProperties(headers=headers), mandatory=True)
    assert contents(channel, queue) == ["None", "0", "-5"]
    came = []
    began = time.monotonic()
    for method, properties, body in channel.consume(queue, auto_ack=True, inactivity_timeout=20):
        came.append((body.decode(), properties.headers["x-delay"], time.monotonic() - began))
        if method is None or len(came) == 3:
            break
    channel.cancel()
    assert [(c[0], c[1]) for c in came] == [("300", -300), ("600", -600), ("900", -900)]
    assert came[2][2] > 0.3  # those that came first did not hold up the time


def test_server_named_exclusive_queue(broker, channel):
    queue = channel.queue_declare("", exclusive=True).method.queue
    assert re.fullmatch(r"amq\.gen-[\w-]{22}", queue)
    other = broker.dial()
    with pytest.raises(ChannelClosedByBroker) as caught:
        other.channel().queue_declare(queue, passive=True)
    assert caught.value.reply_code == 405
    other.close()


def test_exclusive_goes_with_its_connection(broker, channel, connection, unique):
    other, queue = broker.dial(), unique()
    other.channel().queue_declare(queue, exclusive=True)
    other.close()

    def gone():
        try:
            connection.channel().queue_declare(queue, passive=True)
        except ChannelClosedByBroker as e:
            return e.reply_code == 404
        return False

    eventually("gone", gone)


def test_auto_delete(channel, connection, unique):
    queue = unique()
    channel.queue_declare(queue, auto_delete=True)
    channel.basic_cancel(channel.basic_consume(queue, lambda *_: None))

    def gone():
        try:
            connection.channel().queue_declare(queue, passive=True)
        except ChannelClosedByBroker:
            return True
        return False

    eventually("gone", gone)
