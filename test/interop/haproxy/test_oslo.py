import itertools
import threading
import time

import oslo_messaging
import pytest
from cluster import eventually
from oslo_config import cfg

CALL = 10  # seconds that a call may take before it is given up, and made again


class Endpoint:
    """What a service answers."""

    target = oslo_messaging.Target(version="1.0")

    def __init__(self, name):
        self.name, self.told = name, set()

    def echo(self, _ctxt, n):
        return {"n": n, "by": self.name}

    def note(self, _ctxt, n):
        self.told.add(n)


class Ear:
    """What listens to notifications."""

    def __init__(self):
        self.heard = set()

    def info(self, _ctxt, publisher, event, payload, _metadata):
        assert (publisher, event) == ("compute.host-1", "instance.created")
        self.heard.add(payload["n"])


class Estate:
    """Two servers of one topic, a client, a notifier and a listener, each with connections
    of its own to the proxy, as the services of OpenStack have them (estate R22)."""

    numbers = itertools.count()

    def __init__(self, cluster, **options):
        self.conf = cfg.CONF  # the library looks there, whatever it is given
        self.conf([])
        self.url = f"rabbit://guest:guest@{cluster.host}:{cluster.port}/"
        oslo_messaging.get_rpc_transport(self.conf, self.url).cleanup()  # registers its options
        self.options = {"kombu_reconnect_delay": 0.2, "rabbit_retry_interval": 1, "rabbit_interval_max": 2, **options}
        for name, value in self.options.items():
            self.conf.set_override(name, value, "oslo_messaging_rabbit")
        # Scenarios share neither queues nor exchange: those of another are of another kind.
        self.topic = f"agent-{next(self.numbers)}"
        self.conf.set_override("control_exchange", f"openstack-{self.topic}")
        self.endpoints = [Endpoint("host-1"), Endpoint("host-2")]
        self.ear = Ear()
        self.transports = []
        self.servers = [
            oslo_messaging.get_rpc_server(
                self.rpc(), oslo_messaging.Target(topic=self.topic, server=e.name), [e])
            for e in self.endpoints]
        self.servers.append(oslo_messaging.get_notification_listener(
            self.notifications(), [oslo_messaging.Target(topic=self.topic + "-events")], [self.ear]))
        for server in self.servers:
            server.start()
        self.client = oslo_messaging.get_rpc_client(
            self.rpc(), oslo_messaging.Target(topic=self.topic, version="1.0"), timeout=CALL)
        self.notifier = oslo_messaging.Notifier(
            self.notifications(), publisher_id="compute.host-1", driver="messagingv2", topics=[self.topic + "-events"],
            retry=1000)  # for ever, by default: which kombu takes for never

    def rpc(self):
        self.transports.append(oslo_messaging.get_rpc_transport(self.conf, self.url))
        return self.transports[-1]

    def notifications(self):
        self.transports.append(oslo_messaging.get_notification_transport(self.conf, self.url))
        return self.transports[-1]

    def call(self, n, **target):
        """Calls until it is answered, and returns by whom."""
        for _ in range(6):
            try:
                answer = self.client.prepare(**target).call({}, "echo", n=n)
            except oslo_messaging.MessagingTimeout:
                continue
            assert answer["n"] == n
            return answer["by"]
        raise AssertionError(f"no answer to {n}")

    def tell(self, n, **target):
        self.client.prepare(**target).cast({}, "note", n=n)

    def notify(self, n):
        self.notifier.info({}, "instance.created", {"n": n})

    def all_works(self, n):
        """Everything that a service does, once."""
        assert {self.call(n) for _ in range(4)} <= {"host-1", "host-2"}
        for e in self.endpoints:
            assert self.call(n, server=e.name) == e.name
        k = itertools.count(1)

        def spread():
            # A queue that had no consumer at that moment gets the next one.
            self.tell(f"all {n} {next(k)}", fanout=True)
            return all(any(str(t).startswith(f"all {n} ") for t in e.told) for e in self.endpoints)

        eventually("a fanout comes to both", spread)

        def noted():
            self.notify(f"{n}-{next(k)}")
            return any(h.startswith(f"{n}-") for h in self.ear.heard)

        eventually("a notification is heard", noted)

    def stop(self):
        for server in self.servers:
            server.stop()
        for server in self.servers:
            server.wait()
        for transport in self.transports:
            transport.cleanup()
        self.conf.clear_override("control_exchange")
        for name in self.options:
            self.conf.clear_override(name, "oslo_messaging_rabbit")


KINDS = {
    "transient": {},
    "mirrored": {"rabbit_ha_queues": True, "amqp_durable_queues": True},
    "quorum": {"rabbit_quorum_queue": True, "rabbit_transient_quorum_queue": True},
}


@pytest.fixture(params=KINDS)
def estate(request, cluster):
    one = Estate(cluster, **KINDS[request.param])
    one.kind = request.param
    yield one
    one.stop()


def test_nodes_are_killed(cluster, estate):
    """Calls, casts, fanouts and notifications go on while each node in turn is killed and
    comes back. Casts to queues that are held by several nodes all arrive."""
    estate.all_works(-1)
    sent, heard, failed, done = [], [], [], threading.Event()

    def load():
        try:
            for n in itertools.count():
                if done.is_set():
                    return
                estate.tell(n)
                sent.append(n)
                estate.notify(f"load-{n}")
                heard.append(f"load-{n}")
                time.sleep(0.02)
        except Exception as e:  # what the scenario is told
            failed.append(e)

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    worst = 0
    for i, node in enumerate(cluster.nodes):
        before = len(sent)
        eventually("casts are sent", lambda b=before: failed or len(sent) > b + 10)
        node.kill()
        began = time.monotonic()
        estate.call(i)
        worst = max(worst, time.monotonic() - began)
        estate.all_works(i)
        node.start()
        cluster.whole()
    done.set()
    thread.join(60)
    assert not thread.is_alive() and not failed, failed
    assert worst < 30, f"the next call was answered after {worst:.1f} s"
    if estate.kind == "transient":
        return  # its queues, and what is in them, end with their node
    eventually("all casts arrive", lambda: set(sent) <= set().union(*(e.told for e in estate.endpoints)))
    eventually("all notifications arrive", lambda: set(heard) <= estate.ear.heard)
