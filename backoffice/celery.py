"""Tasks on many machines: Django's tasks, carried by Celery. `celery -A backoffice.celery worker`, and one `beat`."""

import os
from datetime import datetime
from typing import Any
from uuid import uuid4

from celery import Celery
from celery.signals import beat_init, worker_init
from django.core.exceptions import SuspiciousOperation
from django.db import close_old_connections
from django.utils.module_loading import import_string
from django_tasks_db.compat import BaseTaskBackend, BaseTaskResult, Task, TaskResultStatus, normalize_json

from backoffice.refusing import refuse_errors

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")

SWEEP = 5.0  # Seconds between two sweeps; one beat is enough for any number of machines.

app = Celery("backoffice")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Celery's help for Django would close the database's connection after every task.
app.conf["CELERY_DB_REUSE_MAX"] = 1_000_000


@app.task(name="backoffice.run", acks_late=True, reject_on_worker_lost=True, ignore_result=True)
def run(path: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Run the Django task at `path`. Raises SuspiciousOperation for anything else: the broker is not to be trusted."""
    task = import_string(path)
    if not isinstance(task, Task):
        raise SuspiciousOperation(f"{path} is not a task")
    close_old_connections()  # One that a restart of the database has broken.
    task.call(*args, **kwargs)


@worker_init.connect
@beat_init.connect
def refuse(**kwargs: Any) -> None:
    """Celery's help for Django runs the checks, and goes on whatever they find."""
    refuse_errors()


app.conf.beat_schedule = {
    "sweep": {
        "task": run.name,
        "schedule": SWEEP,
        "args": ["emails.sweeper.sweep", [], {}],
        "options": {"expires": SWEEP * 2},  # A sweep that nobody had time for is not done twice.
    }
}


class CeleryBackend(BaseTaskBackend):
    """Django's tasks through Celery. A task that the broker loses costs seconds: the log is the queue."""

    supports_defer = True
    supports_async_task = True
    supports_priority = True

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Hand the task to the broker. Raises kombu's OperationalError where it is gone."""
        self.validate_task(task)
        sent = run.apply_async(
            (task.module_path, normalize_json(list(args)), normalize_json(dict(kwargs))),
            task_id=str(uuid4()),
            eta=task.run_after,
            priority=(task.priority + 100) * 9 // 200,  # Celery's are 0 to 9.
            # The default queue is one that every worker listens to, whatever Celery calls it.
            queue=None if task.queue_name == "default" else task.queue_name,
        )
        return BaseTaskResult(
            task=task,
            id=sent.id,
            status=TaskResultStatus.READY,
            enqueued_at=datetime.now().astimezone(),
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=list(args),
            kwargs=dict(kwargs),
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )
