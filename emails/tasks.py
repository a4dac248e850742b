"""What the task engine runs. The log is the queue: a task only wakes a drain, so a lost task loses no mail."""

from emails import deliverer, delivery

try:
    from django.tasks import task
except ImportError:  # Django 5.2 takes the same API from its reference package.
    from django_tasks import task  # type: ignore[no-redef]

__all__ = ["SLICE", "deliver", "joins_transaction", "task"]
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


def joins_transaction(using: str) -> bool:
    """Whether the task engine keeps its tasks in this very database: a wake-up then commits with what it is for."""
    joins = getattr(deliver.get_backend(), "joins_transaction", None)
    return joins is not None and bool(joins(using))
