"""Scenarios of clients behind HAProxy, run by `make interop`: kombu, and OpenStack's
oslo.messaging, through a proxy that gives their connections to three nodes which are
killed and come back (estate R19, R22)."""

import logging
import pathlib
import tempfile

import kombu
import pytest
from cluster import Cluster


@pytest.fixture(scope="session")
def cluster():
    with tempfile.TemporaryDirectory(prefix="haproxy") as folder:
        one = Cluster(pathlib.Path(folder))
        try:
            one.start()
            yield one
        finally:
            one.stop()


@pytest.fixture(autouse=True)
def logs(request):
    """Says what the nodes and the proxy said last, when a scenario fails."""
    yield
    if getattr(request.node, "failed", True) and "cluster" in request.fixturenames:
        one = request.getfixturevalue("cluster")
        for log in sorted(one.folder.glob("*.log")):
            print(f"--- {log.name}\n" + "\n".join(log.read_text().splitlines()[-40:]))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if call.when == "call":
        item.failed = report.failed


@pytest.fixture
def dial(cluster):
    """Makes connections of kombu's through the proxy."""
    made = []

    def dial(**options):
        connection = kombu.Connection(f"amqp://guest:guest@{cluster.host}:{cluster.port}//", connect_timeout=5, **options)
        connection.ensure_connection(max_retries=60, interval_start=0.2, interval_step=0, errback=lambda *_: None)
        made.append(connection)
        return connection

    yield dial
    for connection in made:
        connection.release()


logging.getLogger("amqp").setLevel(logging.ERROR)
