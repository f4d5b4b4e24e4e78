import time
from datetime import datetime, timedelta, timezone

import app
import celery
import kombu
import pytest
from conftest import Worker
from starter import PATIENCE, eventually


def test_results(tasks):
    results = [tasks.tasks["store"].delay(i) for i in range(30)]
    assert [r.get(timeout=PATIENCE)["stored"] for r in results] == list(range(30))


def test_retries(tasks):
    result = tasks.tasks["fetch"].delay("front", fails=3)
    assert result.get(timeout=PATIENCE) == {"page": "front", "tries": 4}


def test_retries_give_up(tasks):
    result = tasks.tasks["fetch"].apply_async(("front",), {"fails": 1}, retries=1)
    assert result.get(timeout=PATIENCE)["tries"] == 2
    with pytest.raises(TypeError):
        tasks.tasks["fetch"].delay("front", fails="many").get(timeout=PATIENCE)


def test_pipeline(tasks):
    chain = tasks.tasks["fetch"].s("front", fails=1) | tasks.tasks["store"].s()
    assert chain.delay().get(timeout=PATIENCE)["stored"] == {"page": "front", "tries": 2}


def test_group(tasks):
    result = celery.group(tasks.tasks["fetch"].s(str(i)) for i in range(10)).apply_async()
    assert [r["page"] for r in result.get(timeout=PATIENCE)] == [str(i) for i in range(10)]


def test_eta(tasks):
    """What waits for its time does not keep the worker from the rest: it takes more
    than its prefetch meanwhile, by raising it on the living consumer."""
    eta = datetime.now(timezone.utc) + timedelta(seconds=5)
    waiting = [tasks.tasks["store"].apply_async((i,), eta=eta) for i in range(8)]
    now = tasks.tasks["store"].delay("now").get(timeout=PATIENCE)
    assert now["at"] < eta.timestamp()
    for result in waiting:
        assert result.get(timeout=PATIENCE)["at"] >= eta.timestamp()


def test_countdown(tasks):
    start = time.time()
    assert tasks.tasks["store"].apply_async(("later",), countdown=1).get(timeout=PATIENCE)["at"] >= start + 1


def test_expired_task_is_revoked(tasks):
    result = tasks.tasks["store"].apply_async(("late",), countdown=0.5, expires=0.1)
    with pytest.raises(celery.exceptions.TaskRevokedError):
        result.get(timeout=PATIENCE)


def test_priority(tasks):
    assert tasks.tasks["store"].apply_async(("x",), priority=7).get(timeout=PATIENCE)["priority"] == 7


def test_remote_control(tasks):
    """Commands go through a fanout exchange, the answers to a queue of the caller's."""
    inspect = tasks.control.inspect(timeout=5, limit=1)
    assert inspect.ping() == {"worker@localhost": {"ok": "pong"}}
    assert {q["name"] for q in inspect.active_queues()["worker@localhost"]} == {"tasks", "risky"}


def test_events(tasks):
    seen = []

    tasks.control.enable_events(reply=True, limit=1, timeout=5)
    with tasks.connection_for_read() as connection:
        receiver = tasks.events.Receiver(connection, handlers={"*": lambda event: seen.append(event["type"])})
        with receiver.consumer_context() as (live, _, _):
            tasks.tasks["store"].delay("watched")
            eventually("the events of a task", lambda: _drain(live) or "task-succeeded" in seen)
    assert "task-received" in seen
    assert "task-started" in seen
    tasks.control.disable_events(reply=True, limit=1, timeout=5)


def _drain(connection):
    try:
        connection.drain_events(timeout=1)
    except TimeoutError:
        pass


def test_reject_dead_letters(tasks, connection):
    graves = kombu.Queue("graves", "", "")(connection.channel())
    graves.declare()
    tasks.tasks["refuse"].delay()
    message = eventually("the dead letter", lambda: graves.get(no_ack=True))
    assert message.headers["task"] == "refuse"
    assert (message.headers["x-death"][0]["reason"], message.headers["x-death"][0]["queue"]) == ("rejected", "risky")
    graves.delete()


def test_a_killed_worker_loses_nothing(own_broker, tmp_path):
    lock, worker = tmp_path / "lock", Worker(own_broker, tmp_path / "one.log")
    with app.make(own_broker.url()) as client:
        result = client.tasks["hold"].delay(str(lock))
        eventually("it runs", lambda: worker.says("hold["))
        worker.kill()
        lock.touch()
        worker = Worker(own_broker, tmp_path / "two.log")
        assert result.get(timeout=PATIENCE) is True  # redelivered
    worker.stop()


def test_worker_reconnects_after_the_broker_was_killed(own_broker, tmp_path):
    """The worker finds its way back by itself; what waited for its time is run."""
    worker = Worker(own_broker, tmp_path / "worker.log")
    with app.make(own_broker.url()) as client:
        assert client.tasks["store"].delay("before").get(timeout=PATIENCE)["stored"] == "before"
        client.tasks["store"].apply_async(("held",), countdown=600)
        eventually("it waits", lambda: worker.log.read_text().count("store[") >= 3)
    own_broker.run("kill")
    own_broker.run("start")
    with app.make(own_broker.url()) as client:
        assert client.tasks["store"].delay("after").get(timeout=PATIENCE)["stored"] == "after"
        scheduled = client.control.inspect(timeout=5, limit=1).scheduled()["worker@localhost"]
        assert "held" in {a for entry in scheduled for a in entry["request"]["args"]}
    worker.stop()
