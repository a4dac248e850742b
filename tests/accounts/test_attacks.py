"""Sequences that once lost an email, doubled one, told a wrong value, or made a save fail."""

import threading
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.sessions.models import Session
from django.core import serializers
from django.db import connection, connections, transaction
from django.db.models import F, Value
from django.db.models.deletion import Collector
from django.db.models.functions import Concat, Lower
from django.db.models.signals import pre_save
from django.test import Client
from django.utils.translation import gettext_lazy

from accounts.models import User
from emails.cause import caused_by, suppress_emails
from emails.models import EmailLog
from emails.recording import recorded_by
from tests.conftest import Commit
from tests.log import kinds, newest, sent_to

pytestmark = pytest.mark.django_db


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("acting", [0, 1, 2])
def test_several_people_leave_together_one_of_them_being_the_actor(client: Client, acting: int) -> None:
    people = [User.objects.create_superuser(f"p{n}", f"p{n}@example.com", "x") for n in range(3)]
    User.objects.create_superuser("stays", "stays@example.com", "x")
    client.force_login(people[acting])
    with caused_by("test", people[acting]):
        User.objects.filter(username__startswith="p").delete()
    assert [person.username for person in User.objects.all()] == ["stays"]
    told = EmailLog.objects.filter(kind="account_deleted")
    assert {(email.actor_id, email.actor_label) for email in told} == {(None, f"p{acting}")}
    assert told.count() == 3


@pytest.mark.django_db(transaction=True)
def test_an_actor_created_and_deleted_in_one_transaction_is_no_dangling_reference() -> None:
    mei = User.objects.create_user("mei", "mei@example.com")
    with transaction.atomic():
        brief = User.objects.create_user("brief", "brief@example.com")
        with caused_by("test", User.objects.get(pk=brief.pk)), suppress_emails("for the test"):
            brief.delete()
            mei.first_name = "Mei"
            mei.save()
    assert (newest().actor_id, newest().actor_label) == (None, "brief")


@pytest.mark.django_db(transaction=True)
def test_a_save_that_failed_does_not_speak_in_the_next_one() -> None:
    User.objects.create_user("victim", "victim@example.com")
    mei = User.objects.create_user("mei", "mei@example.com")
    EmailLog.objects.all().delete()
    with transaction.atomic():
        mei.first_name = "Mei"
        mei.save()
        mei.email = "victim@example.com"
        with pytest.raises(Exception, match=r"UNIQUE|unique"), transaction.atomic():
            mei.save()
        mei.email = "mei@example.com"
        mei.save()
    assert [(email.kind, sent_to(email)) for email in EmailLog.objects.all()] == [
        ("update_notice", ["mei@example.com"])
    ]


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("first_name", Concat(F("first_name"), Value("!")), ["Linus", "Linus!"]),
        ("is_active", Value(False), [True, False]),
        ("username", UUID("12345678-1234-5678-1234-567812345678"), ["linus", "12345678-1234-5678-1234-567812345678"]),
        ("first_name", gettext_lazy("Yes"), ["Linus", "Yes"]),
        ("is_active", "False", [True, False]),
    ],
)
def test_whatever_django_saves_is_told_as_the_database_has_it(
    commit: Commit, linus: User, field: str, value: Any, told: list[Any]
) -> None:
    setattr(linus, field, value)
    with commit():
        linus.save()
    assert newest().changes == {field: told}
    assert newest().state == "queued"


@pytest.mark.parametrize("value", [Lower("email"), F("email")])
def test_an_expression_that_changes_nothing_is_nothing(commit: Commit, linus: User, value: Any) -> None:
    before = kinds()
    linus.email = value
    with commit():
        linus.save()
    assert kinds() == before


def test_a_flag_written_as_text_is_the_flag_it_already_was(commit: Commit, linus: User) -> None:
    before = kinds()
    linus.is_active = "1"  # type: ignore[assignment]
    with commit():
        linus.save()
    assert kinds() == before


def test_another_receiver_of_pre_save_has_the_last_word(commit: Commit, linus: User) -> None:
    group = Group.objects.create(name="Editors")

    def meddle(instance: User, **kwargs: Any) -> None:
        instance.first_name = instance.first_name.title()
        instance.groups.add(group)

    pre_save.connect(meddle, sender=User)
    try:
        linus.first_name = "leo"
        with commit():
            linus.save()
    finally:
        pre_save.disconnect(meddle, sender=User)
    assert newest().changes == {"first_name": ["Linus", "Leo"], "groups": [[], ["Editors"]]}
    assert EmailLog.objects.filter(state="queued").count() == 2  # the welcome, and one for all of this


def test_fixtures_with_groups_are_loaded_in_silence(commit: Commit, linus: User) -> None:
    with commit():
        linus.groups.add(Group.objects.create(name="Editors"))
    data = serializers.serialize("json", [linus])
    EmailLog.objects.all().delete()
    User._base_manager.filter(pk=linus.pk)._raw_delete("default")  # type: ignore[attr-defined]
    User.groups.through.objects.all().delete()
    with commit():
        for restored in serializers.deserialize("json", data):
            restored.save()
    assert User.objects.get(username="linus").groups.count() == 1
    assert not EmailLog.objects.exists()


def test_a_deleted_permission_is_told_to_those_who_had_it(commit: Commit, linus: User) -> None:
    permission = Permission.objects.get(codename="view_user")
    with commit():
        linus.user_permissions.add(permission)
    with commit():
        permission.delete()
    assert newest().changes == {"user_permissions": [[permission.name], []]}


def test_a_farewell_goes_to_the_address_that_the_person_is_known_by(commit: Commit, linus: User) -> None:
    with commit(), transaction.atomic():
        linus.email = "evil@example.net"
        linus.save()
        linus.delete()
    assert {sent_to(email)[0] for email in EmailLog.objects.filter(kind__contains="delet")} == {"linus@example.com"}


def test_a_stale_instance_brings_no_second_welcome(commit: Commit) -> None:
    with commit():
        mei = User.objects.create_user("mei")
    stale = User.objects.get(pk=mei.pk)
    mei.email = "mei@example.com"
    with commit():
        mei.save()
    stale.first_name = "Mei"
    for address in ("", "mei@example.com"):
        stale.email = address
        with commit():
            stale.save()
    assert EmailLog.objects.filter(kind="welcome", state="queued").count() == 1


def test_an_address_that_was_no_address_is_welcomed_once_it_is(commit: Commit) -> None:
    with commit():
        mei = User.objects.create_user("mei", "nonsense")
    assert (newest().kind, newest().state) == ("welcome", "skipped")
    mei.email = "mei@example.com"
    with commit():
        mei.save()
    assert (newest().kind, newest().state) == ("welcome", "queued")


def test_a_sign_in_costs_no_query_of_ours(linus: User, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        linus.save(update_fields=["last_login"])


def test_deleting_many_rows_of_another_table_stays_one_statement(commit: Commit, linus: User) -> None:
    assert Collector(using="default").can_fast_delete(Session.objects.all())


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
def test_two_members_of_staff_who_edit_each_other_do_not_deadlock() -> None:
    people = [User.objects.create_user(f"p{n}", f"p{n}@example.com") for n in range(2)]
    together, errors = threading.Barrier(2), []

    def edit(actor: User, person: User) -> None:
        try:
            with transaction.atomic(), caused_by("test", actor):
                person.first_name = "Edited"
                person.save()
                together.wait(timeout=10)
        except Exception as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=edit, args=(people[n], User.objects.get(pk=people[1 - n].pk))) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert errors == []
    assert EmailLog.objects.filter(kind="update_notice").count() == 2


def test_staff_are_told_nothing_of_what_was_rolled_back(commit: Commit, linus: User) -> None:
    with commit(), caused_by("test") as cause, transaction.atomic():
        with pytest.raises(RuntimeError), transaction.atomic():
            linus.is_active = False
            linus.save()
            raise RuntimeError
        assert len(cause.recorded) == 1
        assert recorded_by(cause) == []
