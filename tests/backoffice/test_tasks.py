"""The task queue in the database: a wake-up commits with what it is for; one that runs stands for those that wait."""

from datetime import timedelta

import pytest
from django.core.mail import send_mail
from django.db import transaction
from django.utils import timezone
from django_tasks_db.management.commands.db_worker import Worker
from django_tasks_db.models import DBTaskResult

from emails import tasks
from tests.conftest import Commit

pytestmark = pytest.mark.django_db


def work_off() -> int:
    """Run what waits, as the engine's worker does; returns how many tasks were run."""
    worker = Worker(
        queue_names=["*"],
        interval=0,
        batch=True,
        backend_name="default",
        startup_delay=False,
        max_tasks=None,
        worker_id="w",
        excluded_queue_names=[],
    )
    worker.run()
    return worker._run_tasks


@pytest.mark.django_db(transaction=True)
def test_a_hundred_clicks_are_one_run_of_the_task() -> None:
    for _ in range(100):
        send_mail("s", "b", None, ["a@example.com"])
    assert work_off() == 1
    assert not DBTaskResult.objects.filter(status="READY").exists()


@pytest.mark.django_db(transaction=True)
def test_a_wake_up_is_there_if_and_only_if_its_email_is() -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        send_mail("s", "b", None, ["a@example.com"])
        raise RuntimeError
    assert not DBTaskResult.objects.exists()
    with transaction.atomic():
        send_mail("s", "b", None, ["a@example.com"])
        assert DBTaskResult.objects.count() == 1


def test_one_that_has_begun_stands_for_no_later_one(commit: Commit) -> None:
    tasks.deliver.enqueue()
    DBTaskResult.objects.get().claim("worker")
    tasks.deliver.enqueue()
    assert DBTaskResult.objects.filter(status="READY").count() == 1


@pytest.mark.django_db(transaction=True)
def test_one_that_is_wanted_later_is_left_alone() -> None:
    tasks.deliver.using(run_after=timezone.now() + timedelta(hours=1)).enqueue()
    tasks.deliver.enqueue()
    assert work_off() == 1
    assert DBTaskResult.objects.filter(status="READY").count() == 1


def test_the_caller_can_have_its_result() -> None:
    result = tasks.deliver.enqueue()
    assert result.id == str(DBTaskResult.objects.get().id)
