import collections

from cluster import eventually


def at(connection):
    """The node that a connection came to."""
    return connection.connection.server_properties["node"]


def test_round_robin(cluster, dial):
    """Each node gets its third."""
    dial()  # whoever looked before whether the proxy is there has had his turn by then
    came = collections.Counter(at(dial()) for _ in range(9))
    assert came == {node.name: 3 for node in cluster.nodes}


def test_any_node(cluster, dial):
    """A queue is reached through any of them (estate R18)."""
    connections = {}
    while len(connections) < 3:
        one = dial()
        connections[at(one)] = one
    for name, one in connections.items():
        queue = one.SimpleQueue(f"any {name}")
        for other in connections.values():
            other.SimpleQueue(f"any {name}").put({"from": at(other)})
        got = {queue.get(timeout=10).payload["from"] for _ in connections}
        assert got == set(connections)


def test_minority_is_ejected(cluster, dial):
    """A node that can not reach a majority closes its port: the proxy sees that, gives it
    nothing, and takes it back when it serves (estate R19, A19)."""
    first, second, third = cluster.nodes
    downs = {n.name: cluster.down(n) for n in cluster.nodes}
    first.kill()
    second.kill()
    eventually("the third closes its port", lambda: not third.open(), 10)
    eventually("the proxy ejects the third", lambda: cluster.down(third) > downs[third.name], 25)
    assert third.process.alive(), "it is to wait for the others"
    eventually("it says why", lambda: third.health()[0] == 503 and third.health()[1].startswith(f"minority: 1 of 3, needs 2, waiting for {first.name}, {second.name}\nto do: "), 10)
    first.start()
    second.start()
    cluster.whole()
    cluster.taken()
    dial()
    came = collections.Counter(at(dial()) for _ in range(6))
    assert came == {node.name: 2 for node in cluster.nodes}


def test_draining_is_ejected(cluster, dial):
    """So does a node that an operator drains; its clients are told to go, and come to the
    others (estate R12, R19)."""
    third = cluster.nodes[2]
    downs = cluster.down(third)
    third.upgrade("drain")
    eventually("it closes its port", lambda: not third.open(), 10)
    eventually("it says why", lambda: third.health()[0] == 503 and third.health()[1].startswith("draining"), 10)
    eventually("a check over HTTP sees it", lambda: cluster.says("Server checked/node-03 is DOWN, reason: Layer7 wrong status, code: 503"))
    eventually("the proxy ejects it", lambda: cluster.down(third) > downs, 25)
    came = {at(dial()) for _ in range(4)}
    assert came == {node.name for node in cluster.nodes[:2]}
    third.upgrade("revive")
    cluster.whole()
    eventually("a check over HTTP sees that", lambda: cluster.says("Server checked/node-03 is UP, reason: Layer7 check passed, code: 200"))
    cluster.taken()
    assert third.name in {at(dial()) for _ in range(3)}


def test_health_checks_make_no_noise(cluster):
    """A check that connects and leaves is no line in the log. The proxy's own, of which
    there were many by now, end before the system tells the node of them; others' do not."""
    for node in cluster.nodes:
        before = node.accepted()
        for _ in range(10):
            assert node.open()
        eventually(f"{node.name} has seen them", lambda n=node, b=before: n.accepted() >= b + 10)
        for line in node.log.read_text().splitlines():
            assert "before login" not in line and "speaks another protocol" not in line, line
