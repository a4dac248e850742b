"""The welcome waits until there is an address, and there is only one."""

import pytest
from django.db import transaction

from accounts.models import User
from emails.models import EmailLog
from tests.conftest import Commit
from tests.log import kinds, newest, sent_to

pytestmark = pytest.mark.django_db


def queued() -> list[str]:
    return [email.kind for email in EmailLog.objects.filter(state="queued").order_by("id")]


def test_it_waits_for_the_address(commit: Commit) -> None:
    with commit():
        mei = User.objects.create_user("mei")
    assert [(email.kind, email.state) for email in EmailLog.objects.all()] == [("welcome", "skipped")]
    mei.email = "mei@example.com"
    with commit():
        mei.save()
    assert queued() == ["welcome"]
    assert sent_to(newest()) == ["mei@example.com"]


def test_it_is_sent_once_even_if_the_address_goes_and_comes_back(commit: Commit) -> None:
    with commit():
        mei = User.objects.create_user("mei", "mei@example.com")
    for address in ("", "mei@example.org"):
        mei.email = address
        with commit():
            mei.save()
    assert kinds().count("welcome") == 1


def test_it_is_sent_once_where_only_the_address_is_saved(commit: Commit) -> None:
    with commit():
        mei = User.objects.create_user("mei")
    for address in ("mei@example.com", "", "mei@example.com"):
        mei.email = address
        with commit():
            mei.save(update_fields=["email"])
    assert queued().count("welcome") == 1


def test_what_follows_in_the_same_transaction_is_part_of_it(commit: Commit) -> None:
    with commit(), transaction.atomic():
        mei = User.objects.create_user("mei", "mei@example.com", first_name="Mey")
        mei.first_name = "Mei"
        mei.save()
        mei.set_password("a password")
        mei.save()
    assert kinds() == ["welcome"]
    assert "Hello Mei," in newest().text


def test_an_address_that_follows_in_the_same_transaction_gets_it(commit: Commit) -> None:
    with commit(), transaction.atomic():
        mei = User.objects.create_user("mei")
        mei.email = "mei@example.com"
        mei.save()
    assert [(email.kind, email.state) for email in EmailLog.objects.all()] == [("welcome", "queued")]


def test_reactivation_is_no_welcome(commit: Commit, linus: User) -> None:
    User.objects.filter(pk=linus.pk).update(is_active=False)
    linus.is_active = True
    with commit():
        linus.save()
    assert newest().kind == "reactivated"


def test_people_created_behind_the_signals_back_are_not_welcomed_years_later(commit: Commit) -> None:
    (mei,) = User.objects.bulk_create([User(username="mei", email="mei@example.com")])
    mei.first_name = "Mei"
    with commit():
        mei.save()
    assert kinds() == ["update_notice"]
