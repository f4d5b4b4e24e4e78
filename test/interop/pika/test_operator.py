import json

import pika
import pytest
from conftest import arrives, contents, depth, put, take
from starter import eventually


@pytest.fixture
def policy(broker):
    """Sets policies under one name and clears it afterwards."""
    yield lambda pattern, definition: broker.ctl("set_policy", "pika", pattern, json.dumps(definition), "--apply-to", "queues")
    broker.ctl("clear_policy", "pika")


@pytest.fixture
def alarm(broker):
    """Raises the memory alarm and ends it."""
    yield lambda on: broker.ctl("set_vm_memory_high_watermark", "0" if on else "0.4")
    broker.ctl("set_vm_memory_high_watermark", "0.4")


def test_blocked_connection(broker, channel, durable, alarm):
    queue, publisher, told = durable(), broker.dial(), []
    publisher.add_on_connection_blocked_callback(lambda conn, frame: told.append(frame.method.reason))
    publisher.add_on_connection_unblocked_callback(lambda conn, frame: told.append("over"))
    sending = publisher.channel()
    sending.basic_publish("", queue, "before")
    eventually("published", lambda: depth(channel, queue) == 1)
    alarm(True)
    sending.basic_publish("", queue, "held")
    eventually("blocked", lambda: publisher.process_data_events(0) or told)
    assert told == ["low on memory"]
    assert take(channel, queue, 1)[0][2] == b"before"
    assert depth(channel, queue) == 0
    alarm(False)
    eventually("unblocked", lambda: publisher.process_data_events(0) or len(told) == 2)
    assert told[1] == "over"
    assert take(channel, queue, 1)[0][2] == b"held"
    publisher.close()


def test_policy_on_a_live_queue(channel, durable, policy):
    queue, graves = durable(), durable()
    put(channel, queue, *"abcd")
    policy(f"^{queue}$", {"max-length": 2})
    eventually("the head is dropped", lambda: depth(channel, queue) == 2)
    assert contents(channel, queue) == ["c", "d"]
    policy(f"^{queue}$", {"message-ttl": 10, "dead-letter-exchange": "", "dead-letter-routing-key": graves})
    put(channel, queue, "e")
    _, properties, body = arrives(channel, graves)
    assert (body, properties.headers["x-death"][0]["reason"]) == (b"e", "expired")
    policy(f"^{queue}$", {"max-length": 1, "overflow": "reject-publish"})
    with pytest.raises(pika.exceptions.NackError):
        for _ in range(1000):
            channel.basic_publish("", queue, "x", mandatory=True)
