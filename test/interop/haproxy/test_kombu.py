import threading
import time

import kombu
from cluster import eventually

# What a client of kombu's takes for a reason to connect again.
AGAIN = kombu.Connection().recoverable_connection_errors + kombu.Connection().recoverable_channel_errors


class Loop(threading.Thread):
    """Does something with a connection until it is told to stop, and connects again
    whenever that breaks."""

    def __init__(self, dial):
        super().__init__(daemon=True)
        self.dial, self.stopped, self.failed, self.reconnects = dial, threading.Event(), None, 0

    def run(self):
        try:
            while not self.stopped.is_set():
                try:
                    with self.dial() as connection:
                        self.work(connection)
                except AGAIN:
                    self.reconnects += 1
        except Exception as e:  # what the scenario is told
            self.failed = e

    def end(self):
        self.stopped.set()
        self.join(60)
        assert not self.is_alive(), "it does not end"
        if self.failed:
            raise self.failed


class Publisher(Loop):
    """Publishes numbers, each until it is confirmed."""

    def __init__(self, dial, queue):
        super().__init__(lambda: dial(transport_options={"confirm_publish": True, "confirm_timeout": 15}))
        self.queue, self.confirmed = queue, 0

    def work(self, connection):
        producer = connection.Producer()
        while not self.stopped.is_set():
            producer.publish(str(self.confirmed), exchange="", routing_key=self.queue.name, delivery_mode=2)
            self.confirmed += 1
            time.sleep(0.005)


class Consumer(Loop):
    def __init__(self, dial, queue):
        super().__init__(lambda: dial(heartbeat=10))
        self.queue, self.got, self.unflagged = queue, {}, []

    def work(self, connection):
        def take(body, message):
            n = int(body)
            if n in self.got and not message.delivery_info["redelivered"]:
                self.unflagged.append(n)
            self.got[n] = self.got.get(n, 0) + 1
            message.ack()

        with connection.Consumer(self.queue(connection.default_channel), callbacks=[take], prefetch_count=50):
            while not self.stopped.is_set():
                try:
                    connection.drain_events(timeout=0.5)
                except TimeoutError:
                    connection.heartbeat_check()


def test_nodes_are_killed(cluster, dial):
    """Each node in turn is killed and comes back, under confirmed load through the proxy:
    nothing that was confirmed is lost (estate R12, R19)."""
    queue = kombu.Queue("through the proxy", durable=True)
    with dial() as connection:
        queue(connection.default_channel).declare()
    publisher, consumers = Publisher(dial, queue), [Consumer(dial, queue) for _ in range(3)]
    loops = [publisher, *consumers]
    for loop in loops:
        loop.start()
    worst = 0
    for node in cluster.nodes:
        before = publisher.confirmed
        eventually("messages are confirmed", lambda n=before: publisher.confirmed > n + 50)
        node.kill()
        began, before = time.monotonic(), publisher.confirmed
        eventually("messages are confirmed without it", lambda n=before: publisher.confirmed > n + 1)
        worst = max(worst, time.monotonic() - began)
        node.start()
        cluster.whole()
    publisher.end()
    eventually("all is consumed", lambda: len(set().union(*(c.got for c in consumers))) >= publisher.confirmed)
    for consumer in consumers:
        consumer.end()
    missing = set(range(publisher.confirmed)) - set().union(*(c.got for c in consumers))
    assert not missing, f"{len(missing)} of {publisher.confirmed} confirmed messages are lost"
    assert publisher.reconnects + sum(c.reconnects for c in consumers) > 0, "no client noticed anything: the nodes were not killed"
    # The proxy tries a server that is gone three times, a second apart, before the client may try another.
    assert worst < 20, f"the next confirm came after {worst:.1f} s"
    cluster.taken()
