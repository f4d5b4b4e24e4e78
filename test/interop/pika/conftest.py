"""Scenarios of Python's pika, run by `make interop` against a broker that a starter
script runs on loopback (see ../brokers): Warren, or with BROKER=rabbitmq the peer."""

import itertools
import pathlib
import subprocess
import tempfile

import pika
import pytest
import starter
from starter import PATIENCE, eventually

class Broker(starter.Broker):
    def parameters(self, **more):
        host, port = self.address("amqp")
        return pika.ConnectionParameters(host=host, port=port, blocked_connection_timeout=PATIENCE, **more)

    def dial(self, **more):
        return pika.BlockingConnection(self.parameters(**more))

    def redial(self):
        """Connects again and again, as a client that lost its broker does."""
        return eventually("reconnected", self._try_dial)

    def _try_dial(self):
        try:
            return self.dial()
        except pika.exceptions.AMQPConnectionError:
            return None


def certificates(folder):
    """Makes a CA and a certificate for loopback with openssl."""
    folder.mkdir()

    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=interop CA")
    openssl("req", *key[:5], "-keyout", "key.pem", "-out", "cert.csr", "-subj", "/CN=localhost")
    (folder / "san").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "cert.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", "san", "-out", "cert.pem")


@pytest.fixture(scope="session")
def broker():
    with tempfile.TemporaryDirectory(prefix="interop") as folder:
        certificates(pathlib.Path(folder) / "tls")
        shared = Broker(folder)
        shared.run("start")
        yield shared
        shared.run("stop")


@pytest.fixture
def own_broker(tmp_path):
    """A broker that the scenario may kill."""
    own = Broker(tmp_path)
    own.run("start")
    yield own
    own.run("stop")


@pytest.fixture
def connection(broker):
    conn = broker.dial()
    yield conn
    if conn.is_open:
        conn.close()


@pytest.fixture
def channel(connection):
    return connection.channel()


_numbers = itertools.count(1)


@pytest.fixture
def unique(request):
    """Makes names that no other scenario uses."""
    return lambda: f"pika.{request.node.originalname}.{next(_numbers)}"


@pytest.fixture
def durable(broker, channel, unique):
    """Declares durable queues and deletes them afterwards."""
    made = []

    def declare(arguments=None):
        name = unique()
        channel.queue_declare(name, durable=True, arguments=arguments)
        made.append(name)
        return name

    yield declare
    conn = broker.dial()
    for name in made:
        conn.channel().queue_delete(name)
    conn.close()


def put(channel, queue, *bodies):
    """Publishes persistent messages, each confirmed before the next."""
    channel.confirm_delivery()
    for body in bodies:
        channel.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2), mandatory=True)


def take(channel, queue, count, auto_ack=False):
    """Consumes count deliveries and leaves the consumer."""
    got = []
    for method, properties, body in channel.consume(queue, auto_ack=auto_ack, inactivity_timeout=PATIENCE):
        assert method is not None, f"only {len(got)} of {count} deliveries"
        got.append((method, properties, body))
        if len(got) == count:
            return got
    raise AssertionError("consumer ended")


def contents(channel, queue):
    """Empties a queue and returns the bodies in order."""
    bodies = []
    while True:
        method, _, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            return bodies
        bodies.append(body.decode())


def depth(channel, queue):
    return channel.queue_declare(queue, passive=True).method.message_count


def arrives(channel, queue):
    """Waits for the next message of a queue."""
    return eventually(f"a message in {queue}", lambda: [got for got in [channel.basic_get(queue, auto_ack=True)] if got[0]])[0]
