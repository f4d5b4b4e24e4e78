import pika
import pytest
from conftest import put
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

CHANNEL_ERRORS = [
    (404, "NOT_FOUND - no queue 'nope' in vhost '/'", lambda ch, q: ch.queue_declare("nope", passive=True)),
    (404, "NOT_FOUND - no exchange 'nope' in vhost '/'", lambda ch, q: ch.exchange_declare("nope", passive=True)),
    (404, "NOT_FOUND - no exchange 'nope' in vhost '/'", lambda ch, q: ch.queue_bind(q, "nope", "k")),
    (404, "NOT_FOUND - no queue 'nope' in vhost '/'", lambda ch, q: ch.basic_get("nope")),
    (406, "PRECONDITION_FAILED - inequivalent arg 'durable' for queue '{q}' in vhost '/': received 'false' but current is 'true'",
     lambda ch, q: ch.queue_declare(q)),
    (406, "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue '{q}' in vhost '/': "
          "received the value '10' of type 'signedint' but current is none",
     lambda ch, q: ch.queue_declare(q, durable=True, arguments={"x-message-ttl": 10})),
    (406, "PRECONDITION_FAILED - queue '{q}' in vhost '/' not empty", lambda ch, q: ch.queue_delete(q, if_empty=True)),
    (403, "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'", lambda ch, q: ch.queue_declare("amq.mine")),
    (403, "ACCESS_REFUSED - operation not permitted on the default exchange", lambda ch, q: ch.queue_bind(q, "", "k")),
]


@pytest.mark.parametrize("code,text,act", CHANNEL_ERRORS)
def test_channel_errors(connection, channel, durable, code, text, act):
    queue = durable()
    put(channel, queue, "one")
    with pytest.raises(ChannelClosedByBroker) as caught:
        act(connection.channel(), queue)
    assert (caught.value.reply_code, caught.value.reply_text) == (code, text.format(q=queue))
    assert connection.is_open
    connection.channel().close()


def test_unknown_delivery_tag(connection, channel):
    channel.basic_ack(7)
    with pytest.raises(ChannelClosedByBroker) as caught:
        channel.queue_declare("", exclusive=True)
    assert (caught.value.reply_code, caught.value.reply_text) == (406, "PRECONDITION_FAILED - unknown delivery tag 7")
    assert connection.is_open


def test_publish_to_a_missing_exchange(connection, channel):
    channel.confirm_delivery()
    with pytest.raises(ChannelClosedByBroker) as caught:
        channel.basic_publish("nope", "k", "x")
    assert (caught.value.reply_code, caught.value.reply_text) == (404, "NOT_FOUND - no exchange 'nope' in vhost '/'")


@pytest.mark.parametrize("code,text,act", [
    (540, "NOT_IMPLEMENTED - prefetch_size!=0 (5)", lambda ch, q: ch.basic_qos(prefetch_size=5)),
    (540, "NOT_IMPLEMENTED - active=false", lambda ch, q: ch.flow(False)),
    (540, "NOT_IMPLEMENTED - requeue=false", lambda ch, q: ch.basic_recover(requeue=False)),
])
def test_connection_errors(broker, durable, code, text, act):
    connection = broker.dial()
    with pytest.raises(ConnectionClosedByBroker) as caught:
        act(connection.channel(), durable())
    assert (caught.value.reply_code, caught.value.reply_text) == (code, text)


def test_wrong_password(broker):
    with pytest.raises(pika.exceptions.ProbableAuthenticationError) as caught:
        broker.dial(credentials=pika.PlainCredentials("guest", "wrong"))
    assert "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN" in str(caught.value)


def test_unknown_vhost(broker):
    with pytest.raises(pika.exceptions.AMQPConnectionError) as caught:
        broker.dial(virtual_host="nowhere")
    assert "vhost nowhere not found" in repr(caught.value)
