import pika
from conftest import contents, put, take
from starter import eventually


def test_priority_queue(channel, durable):
    queue = durable({"x-max-priority": 10})
    channel.confirm_delivery()
    for body, priority in [("none", None), ("low", 1), ("high", 10), ("mid", 5), ("high2", 10), ("over", 200)]:
        channel.basic_publish("", queue, body, pika.BasicProperties(priority=priority, delivery_mode=2))
    assert contents(channel, queue) == ["high", "high2", "over", "mid", "low", "none"]


def test_consumer_priority(connection, channel, durable):
    queue, low, high = durable(), [], []
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume(queue, lambda ch, method, props, body: low.append(body))
    channel.basic_consume(queue, lambda ch, method, props, body: high.append(body), arguments={"x-priority": 5})
    put(connection.channel(), queue, "a", "b")
    eventually("both", lambda: connection.process_data_events(0) or (low and high))
    assert (high, low) == ([b"a"], [b"b"])


def test_single_active_consumer(broker, channel, durable):
    queue = durable({"x-single-active-consumer": True})
    one, two, seen, then = broker.dial(), broker.dial(), [], []
    for conn, into in [(one, seen), (two, then)]:
        conn.channel().basic_consume(queue, lambda ch, method, props, body, into=into: into.append((method, body)))
    put(channel, queue, "a", "b")
    eventually("the first has all", lambda: one.process_data_events(0) or len(seen) == 2)
    two.process_data_events(0.15)
    assert not then
    one.close()
    eventually("the second takes over", lambda: two.process_data_events(0) or len(then) == 2)
    assert [(body, method.redelivered) for method, body in then] == [(b"a", True), (b"b", True)]
    two.close()
