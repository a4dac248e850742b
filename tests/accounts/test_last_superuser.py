"""There is always an active superuser, whoever tries to remove the last one, in whichever way, two at once included."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connection, connections
from django.test import Client

from accounts import lifecycle
from accounts.models import LastSuperuser, User
from tests.conftest import Commit

pytestmark = pytest.mark.django_db
LIST = "/admin/accounts/user/"


def saved(**values: Any) -> Callable[[User], Any]:
    def save(person: User) -> None:
        for name, value in values.items():
            setattr(person, name, value)
        person.save()

    return save


def raw(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


WAYS: dict[str, Callable[[User], Any]] = {
    "demoted": saved(is_superuser=False),
    "disabled": saved(is_active=False),
    "deleted": lambda person: person.delete(),
    "deleted with others": lambda person: User.objects.all().delete(),
    "updated": lambda person: User.objects.update(is_superuser=False),
    "updated past the manager": lambda person: User._base_manager.update(is_active=False),
    "by lifecycle": lambda person: lifecycle.disable(person, "x"),
    "anonymised": lambda person: lifecycle.anonymise(person, "x"),
    "no longer staff": saved(is_staff=False),
    "deleted by SQL": lambda person: raw("DELETE FROM accounts_user"),
    "deleted past the manager": lambda person: User._base_manager.all()._raw_delete("default"),
    "truncated": lambda person: raw(
        "TRUNCATE accounts_user CASCADE" if connection.vendor == "postgresql" else "DELETE FROM accounts_user"
    ),
    "bulk": lambda person: User.objects.bulk_update([User(pk=person.pk, is_superuser=False)], ["is_superuser"]),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.django_db(transaction=True)
def test_s12_the_shell_can_not_remove_the_last_one(way: str) -> None:
    ada = User.objects.create_superuser("ada", "ada@example.com")
    User.objects.create_user("linus", "linus@example.com")
    with pytest.raises((LastSuperuser, IntegrityError)):
        WAYS[way](User.objects.get(pk=ada.pk))
    assert User.objects.active_superusers().filter(is_staff=True).count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", ["demoted", "disabled", "deleted", "no longer staff"])
def test_s12_two_at_once_leave_one(way: str) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    pair = [User.objects.create_superuser(f"s{n}", f"s{n}@example.com") for n in range(2)]
    together = threading.Barrier(2)
    failed: list[Exception] = []

    def remove(person: User) -> None:
        together.wait(5)
        try:
            WAYS[way](person)
        except (ValidationError, IntegrityError) as refused:
            failed.append(refused)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=remove, args=[person]) for person in pair]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert User.objects.active_superusers().filter(is_staff=True).count() == 1
    assert [type(error) for error in failed] == [LastSuperuser]


def test_s12_the_admin_says_why(commit: Commit, client: Client, ada: User) -> None:
    with commit():
        grace = User.objects.create_superuser("grace", "grace@example.com")
    client.force_login(grace)
    User.objects.filter(pk=ada.pk).update(is_active=False)
    page = client.get(f"{LIST}{grace.pk}/change/").content.decode()
    assert "Nobody changes their own access" in page
    response = client.post(f"{LIST}{grace.pk}/delete/", {"post": "yes"})
    assert response.status_code == 403
    everybody = {"action": "delete", "_selected_action": [ada.pk, grace.pk], "confirm": "yes", "reason": "x"}
    client.post(LIST, everybody)
    assert [person.username for person in User.objects.all()] == ["grace"]


def test_a_superuser_who_is_not_the_last_can_go(commit: Commit, ada: User) -> None:
    with commit():
        grace = User.objects.create_superuser("grace", "grace@example.com")
        ada.delete()
    assert list(User.objects.active_superusers()) == [grace]


@pytest.mark.django_db(transaction=True)
def test_flush_may_empty_the_table_and_the_guard_is_back_afterwards() -> None:
    User.objects.create_superuser("ada", "ada@example.com")
    call_command("flush", interactive=False, verbosity=0)
    assert not User.objects.exists()
    User.objects.create_superuser("ada", "ada@example.com")
    with pytest.raises(IntegrityError):
        raw("DELETE FROM accounts_user")
    assert User.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_superuser_who_is_no_staff_stays_too() -> None:
    person = User.objects.create_user("ada", "ada@example.com", is_superuser=True)
    with pytest.raises(LastSuperuser):
        person.delete()
    User.objects.create_superuser("grace", "grace@example.com")
    User.objects.get(pk=person.pk).delete()
