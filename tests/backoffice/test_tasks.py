"""The task queue in the database: one waiting wake-up stands for many, and none is lost."""

from datetime import timedelta

import pytest
from django.core.mail import send_mail
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from emails import tasks
from tests.conftest import Commit

pytestmark = pytest.mark.django_db


def test_a_hundred_clicks_leave_one_waiting_wake_up(commit: Commit) -> None:
    for _ in range(100):
        with commit():
            send_mail("s", "b", None, ["a@example.com"])
    assert DBTaskResult.objects.count() == 1


def test_a_wake_up_that_has_begun_does_not_stand_for_the_next() -> None:
    first = tasks.deliver.enqueue()
    DBTaskResult.objects.get().claim("worker")
    assert tasks.deliver.enqueue().id != first.id
    assert DBTaskResult.objects.count() == 2


def test_a_later_one_does_not_stand_for_one_that_is_wanted_now() -> None:
    tasks.deliver.using(run_after=timezone.now() + timedelta(hours=1)).enqueue()
    tasks.deliver.enqueue()
    assert DBTaskResult.objects.count() == 2


def test_the_one_that_waits_is_what_the_caller_gets() -> None:
    first = tasks.deliver.enqueue()
    assert tasks.deliver.enqueue().id == first.id
