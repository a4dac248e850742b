"""Saves that a person need not know about, and those that never happened, leave no email."""

from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.core import serializers
from django.db import transaction
from django.test import Client

from accounts.models import User
from emails.models import EmailLog
from tests.conftest import Commit


@pytest.fixture
def quiet(linus: User) -> User:
    EmailLog.objects.all().delete()
    return linus


def test_fixtures_are_loaded_in_silence(commit: Commit, quiet: User) -> None:
    data = serializers.serialize("json", [quiet])
    quiet.delete()
    EmailLog.objects.all().delete()
    with commit():
        for restored in serializers.deserialize("json", data):
            restored.save()
    assert User.objects.filter(username="linus").exists()
    assert not EmailLog.objects.exists()


def test_a_login_is_not_a_change(commit: Commit, quiet: User, client: Client) -> None:
    with commit():
        response = client.post("/accounts/login/", {"username": "linus", "password": "secret"})
    assert response.status_code == 302
    quiet.refresh_from_db()
    assert quiet.last_login is not None
    assert not EmailLog.objects.exists()


def test_a_save_of_the_whole_person_that_changes_nothing_is_not_a_change(commit: Commit, quiet: User) -> None:
    with commit():
        quiet.save()
    assert not EmailLog.objects.exists()


def test_a_stronger_hash_of_the_same_password_is_not_a_change(commit: Commit, quiet: User, settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher", *settings.PASSWORD_HASHERS]
    before = quiet.password
    with commit():
        assert quiet.check_password("secret")
    quiet.refresh_from_db()
    assert quiet.password != before
    assert not EmailLog.objects.exists()


def test_one_unusable_password_is_like_another(commit: Commit, quiet: User) -> None:
    User.objects.filter(pk=quiet.pk).update(password=make_password(None))
    quiet.set_unusable_password()
    with commit():
        quiet.save()
    assert not EmailLog.objects.exists()


@pytest.mark.parametrize("address", ["LINUS@example.com", " linus@example.com "])
def test_case_and_blanks_are_no_other_address(commit: Commit, quiet: User, address: str) -> None:
    quiet.email = address
    with commit():
        quiet.save()
    assert not EmailLog.objects.exists()


def test_there_and_back_within_one_transaction_is_nothing(commit: Commit, quiet: User) -> None:
    with commit(), transaction.atomic():
        quiet.first_name = "Leo"
        quiet.save()
        quiet.first_name = "Linus"
        quiet.save()
    assert not EmailLog.objects.exists()


def test_created_and_deleted_within_one_transaction_is_nothing(commit: Commit, quiet: User) -> None:
    with commit(), transaction.atomic():
        User.objects.create_user("brief", "brief@example.com").delete()
    assert not EmailLog.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_save_sends_nothing() -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        User.objects.create_user("mei", "mei@example.com")
        raise RuntimeError
    assert not EmailLog.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_save_that_the_database_refuses_records_nothing() -> None:
    mei = User.objects.create_user("mei", "mei@example.com")
    User.objects.create_user("grace", "grace@example.com")
    count = EmailLog.objects.count()
    mei.username = "grace"
    with pytest.raises(Exception, match=r"UNIQUE|unique"):
        mei.save()
    assert EmailLog.objects.count() == count


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_savepoint_takes_its_emails_along_and_leaves_the_others() -> None:
    mei = User.objects.create_user("mei", "mei@example.com", first_name="Mei")
    EmailLog.objects.all().delete()
    with transaction.atomic():
        mei.first_name = "May"
        mei.save()
        with pytest.raises(RuntimeError), transaction.atomic():
            mei.is_active = False
            mei.save()
            raise RuntimeError
        mei.refresh_from_db()
        mei.last_name = "Tan"
        mei.save()
    assert [(email.kind, email.changes) for email in EmailLog.objects.all()] == [
        ("update_notice", {"first_name": ["Mei", "May"], "last_name": ["", "Tan"]})
    ]


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_deletion_is_forgotten() -> None:
    mei = User.objects.create_user("mei", "mei@example.com", first_name="Mei")
    EmailLog.objects.all().delete()
    with transaction.atomic():
        mei.first_name = "May"
        mei.save()
        with pytest.raises(RuntimeError), transaction.atomic():
            User.objects.get(pk=mei.pk).delete()
            raise RuntimeError
        mei.last_name = "Tan"
        mei.save()
    assert [email.kind for email in EmailLog.objects.all()] == ["update_notice"]
