import json
import time

import amqp
import kombu
import pytest
from starter import PATIENCE, eventually


def put(connection, queue, *bodies, **properties):
    """Publishes to a queue and waits for each confirm."""
    with connection.Producer() as producer:
        for body in bodies:
            producer.publish(body, routing_key=queue.name, **properties)


def arrives(queue, no_ack=True):
    return eventually(f"a message in {queue.name}", lambda: queue.get(no_ack=no_ack))


def contents(queue):
    bodies = []
    while message := queue.get(no_ack=True):
        bodies.append(message.payload)
    return bodies


def depth(queue):
    return queue.queue_declare(passive=True).message_count


def drain(connection, until, seconds=PATIENCE):
    """Lets events come until it holds."""
    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        try:
            connection.drain_events(timeout=0.05)
        except TimeoutError:
            connection.heartbeat_check()
    return until()


def test_payloads(connection, durable):
    queue = durable()
    for serializer, body in [("json", {"a": [1, None, "ä"]}), ("raw", "text"), ("json", [])]:
        put(connection, queue, body, serializer=serializer, headers={"h": 1})
        message = arrives(queue)
        assert (message.payload, message.headers["h"], message.content_type) == (
            body, 1, "application/json" if serializer == "json" else "application/data")


def test_ack_reject_requeue(connection, durable):
    queue = durable()
    put(connection, queue, "a", "b", "c")
    one = queue.get()
    one.requeue()
    got = [queue.get() for _ in range(3)]
    assert [m.payload for m in got] == ["a", "b", "c"]
    assert [m.delivery_info["redelivered"] for m in got] == [True, False, False]
    got[0].ack()
    got[1].reject()
    got[2].requeue()
    assert contents(queue) == ["c"]


def test_prefetch(connection, durable):
    queue, seen = durable(), []
    put(connection, queue, *"abcde")
    with connection.Consumer([queue], callbacks=[lambda body, message: seen.append(message)], prefetch_count=2) as consumer:
        drain(connection, lambda: len(seen) == 2)
        assert not drain(connection, lambda: len(seen) > 2, 0.2)
        consumer.qos(prefetch_count=4, apply_global=True)  # as a worker does
        drain(connection, lambda: len(seen) >= 2)
        for message in seen[:]:
            message.ack()
        assert drain(connection, lambda: len(seen) >= 4)


def test_ttl_and_dead_letter(connection, durable):
    graves = durable()
    queue = durable(message_ttl=60, queue_arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": graves.name})
    put(connection, queue, "x", expiration=0.01)
    message = arrives(graves)
    death, = message.headers["x-death"]
    assert (death["reason"], death["queue"], death["exchange"], death["count"], death["routing-keys"], death["original-expiration"]) == (
        "expired", queue.name, "", 1, [queue.name], "10")
    assert message.headers["x-first-death-reason"] == "expired"


def test_length_limit(connection, durable):
    queue = durable(max_length=2)
    put(connection, queue, "a", "b", "c")
    eventually("the head is dropped", lambda: depth(queue) == 2)
    assert contents(queue) == ["b", "c"]


def test_full_queue_nacks(connection, durable):
    queue = durable(max_length=1, queue_arguments={"x-overflow": "reject-publish"})
    with pytest.raises(amqp.exceptions.MessageNacked):
        put(connection, queue, *["x"] * 1000)


def test_topic_and_headers(connection, channel, durable, unique):
    topic = kombu.Exchange(unique(), "topic", durable=False, auto_delete=True)
    headers = kombu.Exchange(unique(), "headers", durable=False, auto_delete=True)
    news, eu = durable(topic, "news.#"), durable(topic, "*.eu")
    both = durable(headers, binding_arguments={"x-match": "all", "a": "1", "b": 2})
    either = durable(headers, binding_arguments={"x-match": "any", "a": "1", "b": 2})
    with connection.Producer() as producer:
        for key in ["news", "news.eu", "rain.eu", "rain.us"]:
            producer.publish(key, exchange=topic, routing_key=key)
        for name, match in [("all", {"a": "1", "b": 2}), ("one", {"b": 2}), ("none", {"a": "2"})]:
            producer.publish(name, exchange=headers, headers=match)
    assert (contents(news), contents(eu)) == (["news", "news.eu"], ["news.eu", "rain.eu"])
    assert (contents(both), contents(either)) == (["all"], ["all", "one"])


def test_exchange_to_exchange(connection, channel, durable, unique):
    outer = kombu.Exchange(unique(), "fanout", durable=False, auto_delete=True)(channel)
    inner = kombu.Exchange(unique(), "direct", durable=False, auto_delete=True)(channel)
    outer.declare()
    queue = durable(inner, "k")
    inner.bind_to(outer)
    with connection.Producer() as producer:
        for key in "kxk":
            producer.publish(key, exchange=outer, routing_key=key)
    assert contents(queue) == ["k", "k"]


def test_mandatory_return(connection):
    returned = []
    with connection.Producer(exchange=kombu.Exchange("amq.direct", "direct"), auto_declare=False,
                             on_return=lambda exc, exchange, key, message: returned.append((exc.reply_code, exchange, key, message.body))) as producer:
        producer.publish("nobody", routing_key="no.such.key", mandatory=True, serializer="raw")
    assert [(code, exchange, key) for code, exchange, key, _ in returned] == [(312, "amq.direct", "no.such.key")]


def test_direct_reply_to(broker, connection, durable):
    queue, replies = durable(), []
    reply_to = kombu.Queue("amq.rabbitmq.reply-to", no_declare=True)
    with connection.channel() as channel, broker.dial() as server:
        consumer = kombu.Consumer(channel, [reply_to], callbacks=[lambda body, message: replies.append((message.properties["correlation_id"], body))],
                                  no_ack=True, auto_declare=False)
        consumer.consume()
        producer = kombu.Producer(channel)
        for i in range(10):
            producer.publish(i, routing_key=queue.name, reply_to="amq.rabbitmq.reply-to", correlation_id=str(i))
        bound = kombu.Queue(queue.name)(server.channel())
        for _ in range(10):
            request = arrives(bound)
            with server.Producer() as answers:
                answers.publish(request.payload * 2, routing_key=request.properties["reply_to"],
                                correlation_id=request.properties["correlation_id"])
        assert drain(connection, lambda: len(replies) == 10)
    assert replies == [(str(i), 2 * i) for i in range(10)]


def test_priority(connection, durable):
    queue = durable(max_priority=9)
    for body, priority in [("low", 1), ("high", 9), ("mid", 5)]:
        put(connection, queue, body, priority=priority)
    assert contents(queue) == ["high", "mid", "low"]


def test_single_active_consumer(broker, connection, durable):
    queue, seen = durable(queue_arguments={"x-single-active-consumer": True}), {1: [], 2: []}
    one, two = broker.dial(), broker.dial()
    for conn, who in [(one, 1), (two, 2)]:
        bound = kombu.Queue(queue.name, no_declare=True)
        kombu.Consumer(conn.channel(), [bound], callbacks=[lambda body, message, who=who: seen[who].append(body)]).consume()
    put(connection, queue, "a", "b")
    assert drain(one, lambda: seen[1] == ["a", "b"])
    assert not drain(two, lambda: seen[2], 0.2)
    one.close()
    assert drain(two, lambda: seen[2] == ["a", "b"])
    two.close()


@pytest.mark.parametrize("end,left", [("tx_commit", ["a", "b"]), ("tx_rollback", ["in"])])
def test_transaction(broker, connection, durable, end, left):
    queue = durable()
    put(connection, queue, "in")
    with kombu.Connection(broker.url()) as other:
        channel = other.channel()
        channel.tx_select()
        message = kombu.Queue(queue.name)(channel).get()
        producer = kombu.Producer(channel)
        for body in "ab":
            producer.publish(body, routing_key=queue.name)
        message.ack()
        assert depth(queue) == 0
        getattr(channel, end)()
        if end == "tx_commit":
            assert depth(queue) == 2
        channel.close()
    eventually("the messages", lambda: depth(queue) == len(left))
    assert contents(queue) == left


def test_blocked_connection(broker, connection, durable):
    queue, told = durable(), []
    put(connection, queue, "before")
    publisher = broker.dial(on_blocked=told.append, on_unblocked=lambda: told.append("over"), confirm_publish=False)
    try:
        with publisher.Producer() as producer:
            producer.publish("too", routing_key=queue.name)
            eventually("published", lambda: depth(queue) == 2)
            broker.ctl("set_vm_memory_high_watermark", "0")
            producer.publish("held", routing_key=queue.name)
            assert drain(publisher, lambda: told)
            assert told != ["over"]  # the client gives no reason
            assert [arrives(queue).payload for _ in range(2)] == ["before", "too"]
            assert depth(queue) == 0
            broker.ctl("set_vm_memory_high_watermark", "0.4")
            assert drain(publisher, lambda: len(told) == 2)
            assert arrives(queue).payload == "held"
    finally:
        broker.ctl("set_vm_memory_high_watermark", "0.4")
        publisher.close()


def test_policy_on_a_live_queue(broker, connection, durable):
    queue, graves = durable(), durable()

    def policy(**definition):
        broker.ctl("set_policy", "kombu", f"^{queue.name}$", json.dumps(definition), "--apply-to", "queues")

    put(connection, queue, *"abc")
    try:
        policy(**{"max-length": 1})
        eventually("the head is dropped", lambda: depth(queue) == 1)
        assert contents(queue) == ["c"]
        policy(**{"message-ttl": 10, "dead-letter-exchange": "", "dead-letter-routing-key": graves.name})
        put(connection, queue, "d")
        assert arrives(graves).payload == "d"
    finally:
        broker.ctl("clear_policy", "kombu")


def test_reconnect_by_ensure(own_broker):
    """kombu's own way back: what it does is done again on a new connection."""
    connection = own_broker.dial()
    queue = kombu.Queue("kept")
    with connection.Producer() as producer:
        publish = connection.ensure(producer, producer.publish, max_retries=400, interval_start=0.05, interval_step=0)
        for i in range(50):
            publish(i, routing_key="kept", declare=[queue], retry=False)
        own_broker.run("kill")
        own_broker.run("start")
        publish(50, routing_key="kept", declare=[queue], retry=False)
    seen = []
    with own_broker.dial() as other, other.Consumer([queue], callbacks=[lambda body, message: (seen.append(body), message.ack())]):
        assert drain(other, lambda: len(seen) == 51)
    assert seen == list(range(51))
    connection.release()
