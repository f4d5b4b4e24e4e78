"""Scenarios of Python's kombu and celery, run by `make interop` against a broker that a
starter script runs on loopback (see ../brokers): Warren, or with BROKER=rabbitmq the peer.
Celery's worker is a process of its own, as in life."""

import itertools
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import app
import kombu
import pytest
import starter
from starter import PATIENCE, eventually

HERE = pathlib.Path(__file__).parent


class Broker(starter.Broker):
    def url(self):
        host, port = self.address("amqp")
        return f"amqp://guest:guest@{host}:{port}//"

    def dial(self, **options):
        """A connection of kombu's that waits for confirms."""
        connection = kombu.Connection(self.url(), transport_options={"confirm_publish": True, **options})
        connection.ensure_connection(max_retries=200, interval_start=0.05, interval_step=0, errback=lambda *_: None)
        return connection


class Worker:
    """A worker process and all its children."""

    def __init__(self, broker, log):
        self.log = log
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "app", "worker", "-c", "2", "-n", "worker@localhost", "-l", "INFO"],
                cwd=HERE, env={**os.environ, "BROKER_URL": broker.url(), "PYTHONPATH": str(HERE)},
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        eventually("the worker is ready", lambda: self.says(" ready."))

    def says(self, text):
        assert self.process.poll() is None, f"the worker ended:\n{self.log.read_text()}"
        return text in self.log.read_text()

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the worker did not stop:\n{self.log.read_text()}") from None


@pytest.fixture(scope="session")
def broker():
    with tempfile.TemporaryDirectory(prefix="interop") as folder:
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


@pytest.fixture(scope="session")
def worker(broker):
    shared = Worker(broker, broker.folder / "worker.log")
    yield shared
    shared.stop()


@pytest.fixture
def tasks(broker, worker):
    """The app as its clients have it."""
    with app.make(broker.url()) as made:
        yield made


@pytest.fixture
def connection(broker):
    with broker.dial() as conn:
        yield conn


@pytest.fixture
def channel(connection):
    return connection.channel()


_numbers = itertools.count(1)


@pytest.fixture
def unique(request):
    """Makes names that no other scenario uses."""
    return lambda: f"kombu.{request.node.originalname}.{next(_numbers)}"


@pytest.fixture
def durable(broker, channel, unique):
    """Declares durable queues and deletes them afterwards."""
    made = []

    def declare(exchange=None, routing_key="", **more):
        queue = kombu.Queue(unique(), exchange or "", routing_key, **more)(channel)
        queue.declare()
        made.append(queue.name)
        return queue

    yield declare
    with broker.dial() as conn:
        for name in made:
            conn.channel().queue_delete(name)
