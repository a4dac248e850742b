"""What the task engine runs. The log is the queue: a task only wakes a drain, so a lost task loses no mail."""

import logging
from collections.abc import Sequence
from typing import Any

from django.db import DatabaseError

from emails import deliverer, delivery
from emails.script import Statement

try:
    from django.tasks import task
except ImportError:  # Django 5.2 takes the same API from its reference package.
    from django_tasks import task  # type: ignore[no-redef]

__all__ = ["SLICE", "deliver", "enqueued", "enqueuing", "joins_transaction", "task"]
logger = logging.getLogger(__name__)
SLICE = 5.0  # Seconds of work per task, so that a worker told to stop never has a long task to finish.


@task()
def deliver() -> int:
    """Send what is due; where there is more than a task's time allows, the next task goes on.

    In a process that delivers by itself (manage.py worker) the task only wakes it.
    """
    if deliverer.wake():
        return 0
    sent, more = delivery.drain(seconds=SLICE)
    if sent and more:  # Where nothing may leave now, the sweeper comes back to it.
        deliver.enqueue()
    return sent


def enqueued(wanted: Any, *args: Any) -> bool:
    """Ask the engine to run a task; False where its broker is gone, which must not become somebody's error page.

    Raises DatabaseError where tasks are rows: then the transaction is broken, and has to know.
    """
    try:
        wanted.enqueue(*args)
    except DatabaseError:
        raise
    except Exception as error:
        logger.error("task.not_taken task=%s error=%s", wanted.name, type(error).__name__)
        return False
    return True


def enqueuing(using: str, source: str, given: Sequence[Any]) -> Statement | None:
    """The SQL that enqueues a delivery if `source` (of Insert.statement) is there; None where no SQL can."""
    stated = getattr(deliver.get_backend(), "enqueuing", None)
    return stated(deliver, source, given) if stated is not None and joins_transaction(using) else None


def joins_transaction(using: str) -> bool:
    """Whether the task engine keeps its tasks in this very database: a wake-up then commits with what it is for."""
    joins = getattr(deliver.get_backend(), "joins_transaction", None)
    return joins is not None and bool(joins(using))
