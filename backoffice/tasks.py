"""The database as task queue, made cheap for wake-ups: tasks without arguments of which one stands for many."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from django.db import router
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django_tasks_db import DatabaseBackend
from django_tasks_db.compat import task_started
from django_tasks_db.models import DBTaskResult, get_date_max

from emails.rows import inserting
from emails.script import Statement

NOTHING: dict[str, Any] = {"args": [], "kwargs": {}}


class TransactionalDatabaseBackend(DatabaseBackend):
    """Enqueues in the caller's transaction: the task is there if, and only if, what it is for is committed."""

    def joins_transaction(self, using: str) -> bool:
        return bool(router.db_for_write(DBTaskResult) == using)

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        if args or kwargs or task.run_after is not None:
            return super().enqueue(task, args, kwargs)
        row = self.row(task)
        inserting(DBTaskResult, router.db_for_write(DBTaskResult))([row])
        return SimpleLazyObject(lambda: self.get_result(str(row.id)))  # Few callers want it, and it costs a query.

    def enqueuing(self, task: Any, source: str, given: Sequence[Any]) -> Statement:
        """The SQL that enqueues a task without arguments, if `source` is there: for who has more to write with it."""
        return inserting(DBTaskResult, router.db_for_write(DBTaskResult)).statement(self.row(task), source, given)

    def row(self, task: Any) -> Any:
        """A waiting task without arguments, not saved."""
        return DBTaskResult(
            id=uuid4(),
            enqueued_at=timezone.now(),
            args_kwargs=NOTHING,
            priority=task.priority,
            task_path=task.module_path,
            queue_name=task.queue_name,
            backend_name=self.alias,
            run_after=get_date_max(),
        )


def stand_for_equals(sender: Any, task_result: Any, **kwargs: Any) -> None:
    """Forget the waiting tasks that are equal to the one which starts now: what they are for, it will see.

    It is decided here and not by whoever enqueues: a task that waits may start, and end, before a transaction that
    counted on it is committed.
    """
    if not isinstance(sender, TransactionalDatabaseBackend) or task_result.args or task_result.kwargs:
        return
    waiting = DBTaskResult.objects.filter(status="READY", run_after=get_date_max(), args_kwargs=NOTHING)
    waiting.filter(task_path=task_result.task.module_path, backend_name=task_result.backend).delete()


def connect() -> None:
    task_started.connect(stand_for_equals, dispatch_uid="backoffice.stand_for_equals")
