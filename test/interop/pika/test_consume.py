import time

import pytest
from conftest import contents, depth, put, take
from starter import eventually


def test_order_and_manual_ack(channel, connection, durable):
    queue = durable()
    bodies = [str(i) for i in range(100)]
    put(channel, queue, *bodies)
    got = take(channel, queue, 100)
    assert [body.decode() for _, _, body in got] == bodies
    assert [m.delivery_tag for m, _, _ in got] == list(range(1, 101))
    assert not any(m.redelivered for m, _, _ in got)
    channel.basic_ack(100, multiple=True)
    channel.close()
    assert depth(connection.channel(), queue) == 0


def test_nack_requeues_to_its_place_and_flags(channel, durable):
    queue = durable()
    put(channel, queue, "a", "b", "c")
    method, _, body = channel.basic_get(queue)
    assert (body, method.redelivered, method.message_count) == (b"a", False, 2)
    channel.basic_nack(method.delivery_tag, requeue=True)
    first = take(channel, queue, 3)
    assert [b for _, _, b in first] == [b"a", b"b", b"c"]
    assert [m.redelivered for m, _, _ in first] == [True, False, False]


def test_reject_drops(channel, connection, durable):
    queue = durable()
    put(channel, queue, "a", "b")
    for method, _, _ in take(channel, queue, 2):
        channel.basic_reject(method.delivery_tag, requeue=method.delivery_tag == 2)
    channel.close()
    assert contents(connection.channel(), queue) == ["b"]


def test_recover(channel, durable):
    queue = durable()
    put(channel, queue, "a", "b")
    for _ in range(2):
        channel.basic_get(queue)
    channel.basic_recover(requeue=True)
    again = take(channel, queue, 2)
    assert [(b, m.redelivered) for m, _, b in again] == [(b"a", True), (b"b", True)]


@pytest.mark.parametrize("shared", [False, True])
def test_qos(channel, connection, durable, shared):
    """global=False: each consumer has its own window; True: the channel has one."""
    queue = durable()
    channel.basic_qos(prefetch_count=2, global_qos=shared)
    seen = []
    for _ in range(2):
        channel.basic_consume(queue, lambda ch, method, props, body: seen.append(method.delivery_tag))
    put(connection.channel(), queue, *"abcdef")
    window = 2 if shared else 4
    eventually("window filled", lambda: connection.process_data_events(0) or len(seen) >= window)
    assert depth(channel, queue) == 6 - window
    end = time.monotonic() + 0.15
    while time.monotonic() < end:
        connection.process_data_events(0.05)
    assert len(seen) == window
    channel.basic_ack(max(seen), multiple=True)
    eventually("the rest", lambda: connection.process_data_events(0) or len(seen) == min(6, 2 * window))


def test_cancel_by_the_broker(channel, connection, durable):
    queue, cancelled = durable(), []
    channel.add_on_cancel_callback(cancelled.append)
    tag = channel.basic_consume(queue, lambda *_: None)
    connection.channel().queue_delete(queue)
    eventually("cancelled", lambda: connection.process_data_events(0) or cancelled)
    assert cancelled[0].method.consumer_tag == tag


def test_cancel_by_the_client(channel, durable):
    queue = durable()
    put(channel, queue, "a")
    tag = channel.basic_consume(queue, lambda *_: None)
    channel.basic_cancel(tag)
    put(channel, queue, "b")
    assert contents(channel, queue)[-1] == "b"


def test_end_of_connection_requeues(broker, channel, durable):
    queue = durable()
    put(channel, queue, "a", "b")
    other = broker.dial()
    take(other.channel(), queue, 2)
    other.close()
    eventually("requeued", lambda: depth(channel, queue) == 2)
    method, _, body = channel.basic_get(queue, auto_ack=True)
    assert (body, method.redelivered) == (b"a", True)


def test_get_empty_and_purge(channel, durable):
    queue = durable()
    assert channel.basic_get(queue) == (None, None, None)
    put(channel, queue, "a", "b", "c")
    channel.basic_get(queue)
    assert channel.queue_purge(queue).method.message_count == 2
    assert channel.basic_get(queue)[0] is None


def test_auto_ack(channel, connection, durable):
    queue = durable()
    put(channel, queue, "a", "b")
    channel.basic_qos(prefetch_count=1)
    take(channel, queue, 2, auto_ack=True)
    channel.close()
    assert depth(connection.channel(), queue) == 0
