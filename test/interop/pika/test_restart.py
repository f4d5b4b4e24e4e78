import pika
import pytest
from conftest import put, take


def test_reconnect_after_kill(own_broker):
    """What was confirmed is there after kill -9, in order; what was held comes back flagged."""
    connection = own_broker.dial()
    channel = connection.channel()
    channel.queue_declare("kept", durable=True)
    channel.exchange_declare("routes", "topic", durable=True)
    channel.queue_bind("kept", "routes", "k.#")
    channel.confirm_delivery()
    bodies = [str(i).encode() for i in range(300)]
    for body in bodies:
        channel.basic_publish("routes", "k.x", body, pika.BasicProperties(delivery_mode=2), mandatory=True)
    method, _, body = channel.basic_get("kept")
    assert (body, method.redelivered) == (b"0", False)

    own_broker.run("kill")
    with pytest.raises(pika.exceptions.AMQPError):
        channel.basic_get("kept")
    own_broker.run("start")

    connection = own_broker.redial()
    channel = connection.channel()
    put(channel, "kept", "after")
    got = take(channel, "kept", 301)
    assert [b for _, _, b in got] == bodies + [b"after"]
    assert got[0][0].redelivered
    channel.basic_ack(0, multiple=True)
    channel.close()
    again = connection.channel()
    assert again.queue_declare("kept", passive=True).method.message_count == 0
    again.exchange_declare("routes", "topic", durable=True)
    connection.close()
