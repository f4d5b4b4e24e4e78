import pika
from conftest import put, take
from starter import eventually

REPLY_TO = "amq.rabbitmq.reply-to"


def test_calls_by_direct_reply_to(broker, connection, channel, durable):
    queue, replies = durable(), []
    server = broker.dial()
    channel.basic_consume(REPLY_TO, lambda ch, method, properties, body: replies.append((properties.correlation_id, body)), auto_ack=True)
    for i in range(20):
        channel.basic_publish("", queue, f"call {i}", pika.BasicProperties(reply_to=REPLY_TO, correlation_id=str(i)))
    answers = server.channel()
    for method, properties, body in take(answers, queue, 20):
        assert properties.reply_to.startswith(REPLY_TO + ".")
        answers.basic_publish("", properties.reply_to, body.upper(), pika.BasicProperties(correlation_id=properties.correlation_id))
        answers.basic_ack(method.delivery_tag)
    eventually("the replies", lambda: connection.process_data_events(0) or len(replies) == 20)
    assert replies == [(str(i), f"CALL {i}".encode()) for i in range(20)]
    server.close()


def test_a_reply_queue_of_ones_own(connection, channel, durable):
    """The older way: an exclusive queue with a name of the broker's."""
    queue, own = durable(), channel.queue_declare("", exclusive=True).method.queue
    channel.basic_publish("", queue, "call", pika.BasicProperties(reply_to=own, correlation_id="1"))
    server = connection.channel()
    (_, properties, _), = take(server, queue, 1)
    put(server, properties.reply_to, "answer")
    assert take(channel, own, 1)[0][2] == b"answer"
