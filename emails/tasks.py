"""What the task engine runs. The log is the queue: a task only wakes a drain, so a lost task loses no mail."""

from emails import delivery

try:
    from django.tasks import task
except ImportError:  # Django 5.2 takes the same API from its reference package.
    from django_tasks import task  # type: ignore[no-redef]

SLICE = 5.0  # Seconds of work per task, so that a worker told to stop never has a long task to finish.


@task()
def deliver() -> int:
    """Send what is due; where there is more than a task's time allows, the next task goes on."""
    sent, more = delivery.drain(seconds=SLICE)
    if more:
        deliver.enqueue()
    return sent
