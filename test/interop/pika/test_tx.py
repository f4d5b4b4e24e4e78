import pytest
from conftest import contents, depth, put
from pika.exceptions import ChannelClosedByBroker
from starter import eventually


def test_commit(connection, channel, durable):
    queue, watch = durable(), connection.channel()
    put(watch, queue, "in")
    channel.tx_select()
    method, _, _ = channel.basic_get(queue)
    channel.basic_publish("", queue, "a")
    channel.basic_publish("", queue, "b")
    channel.basic_ack(method.delivery_tag)
    assert depth(channel, queue) == 0
    channel.tx_commit()
    assert depth(watch, queue) == 2
    channel.close()
    assert contents(watch, queue) == ["a", "b"]


def test_rollback(connection, channel, durable):
    queue, watch = durable(), connection.channel()
    put(watch, queue, "in")
    channel.tx_select()
    method, _, _ = channel.basic_get(queue)
    channel.basic_publish("", queue, "never")
    channel.basic_ack(method.delivery_tag)
    channel.tx_rollback()
    assert depth(watch, queue) == 0
    channel.close()
    eventually("requeued", lambda: depth(watch, queue) == 1)
    assert contents(watch, queue) == ["in"]


def test_commit_without_select(channel):
    with pytest.raises(ChannelClosedByBroker) as caught:
        channel.tx_commit()
    assert (caught.value.reply_code, caught.value.reply_text) == (406, "PRECONDITION_FAILED - channel is not transactional")
