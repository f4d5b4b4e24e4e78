import ssl

import pika
import pytest
from conftest import contents, put


def parameters(broker, context):
    host, port = broker.address("amqps")
    return pika.ConnectionParameters(host=host, port=port, ssl_options=pika.SSLOptions(context, "localhost"), connection_attempts=1)


def test_tls(broker, durable):
    context = ssl.create_default_context(cafile=broker.folder / "tls" / "ca.pem")
    connection = pika.BlockingConnection(parameters(broker, context))
    channel, queue = connection.channel(), durable()
    put(channel, queue, "secret")
    assert contents(channel, queue) == ["secret"]
    connection.close()


def test_tls_of_an_unknown_authority(broker):
    with pytest.raises(ssl.SSLCertVerificationError):
        pika.BlockingConnection(parameters(broker, ssl.create_default_context()))
