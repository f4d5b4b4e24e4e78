"""A small application: two tasks that make a pipeline, and two that behave in ways
that its broker has to stand."""

import os
import time

import celery
import kombu
from celery.exceptions import Reject


def fetch(self, page, fails=0):
    """Fails some times before it succeeds; says at which try."""
    if self.request.retries < fails:
        raise self.retry(exc=ConnectionError(page), countdown=0.2, max_retries=fails)
    return {"page": page, "tries": self.request.retries + 1}


def store(self, item):
    """Takes what fetch made; says when."""
    return {"stored": item, "at": time.time(), "priority": self.request.delivery_info.get("priority")}


def hold(self, lock):
    """Runs until the file is there; outlives its worker."""
    while not os.path.exists(lock):
        time.sleep(0.02)
    return self.request.delivery_info["redelivered"]


def refuse(self):
    """Sends its message to the dead letters."""
    raise Reject("not mine", requeue=False)


def make(url):
    made = celery.Celery("shop", broker=url, backend="rpc://", set_as_current=False)
    made.conf.update(
        broker_connection_retry_on_startup=True,
        worker_prefetch_multiplier=1,
        task_default_queue="tasks",
        task_queues=[
            kombu.Queue("tasks", queue_arguments={"x-max-priority": 10}),
            kombu.Queue("risky", queue_arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "graves"}),
        ],
        task_routes={"refuse": {"queue": "risky"}},
        result_expires=600,
    )
    for function in (fetch, store):
        made.task(function, bind=True, name=function.__name__)
    for function in (hold, refuse):  # are acknowledged, or not, when they end
        made.task(function, bind=True, name=function.__name__, acks_late=True)
    return made


if "BROKER_URL" in os.environ:
    app = make(os.environ["BROKER_URL"])
