"""However a change is saved, the person gets its net result once."""

import pytest
from django.contrib.auth.models import Group
from django.db import transaction

from accounts.models import User
from emails.models import EmailKindSwitch, EmailLog
from tests.conftest import Commit
from tests.log import kinds, newest, sent_to

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def empty_log(linus: User) -> None:
    EmailLog.objects.all().delete()


def switch(key: str, enabled: bool) -> None:
    EmailKindSwitch.objects.filter(key=key).update(enabled=enabled)


def test_several_saves_of_one_transaction_are_told_once(commit: Commit, linus: User) -> None:
    with commit(), transaction.atomic():
        for name in ("Leo", "Lea", "Lee"):
            linus.first_name = name
            linus.save()
        linus.last_name = "Berg"
        linus.save()
    assert kinds() == ["update_notice"]
    assert newest().changes == {"first_name": ["Linus", "Lee"], "last_name": ["Ahlberg", "Berg"]}


def test_groups_that_arrive_after_the_save_are_in_the_same_email(commit: Commit, linus: User) -> None:
    group = Group.objects.create(name="Editors")
    with commit(), transaction.atomic():
        linus.first_name = "Leo"
        linus.save()
        linus.groups.set([group])
    assert kinds() == ["access_changed"]
    assert newest().changes == {"first_name": ["Linus", "Leo"], "groups": [[], ["Editors"]]}
    assert "Leo" in newest().text
    assert "Editors" in newest().text


def test_a_deactivation_gives_its_name_to_all_that_changed_with_it(commit: Commit, linus: User) -> None:
    linus.is_active, linus.first_name = False, "Leo"
    with commit():
        linus.save()
    assert kinds() == ["deactivated"]
    assert "Leo" in newest().text


def test_a_save_after_commit_is_told_anew(commit: Commit, linus: User) -> None:
    for name in ("Leo", "Lea"):
        linus.first_name = name
        with commit():
            linus.save()
    assert [email.changes["first_name"] for email in EmailLog.objects.order_by("id")] == [
        ["Linus", "Leo"],
        ["Leo", "Lea"],
    ]


def test_the_old_value_is_the_databases_and_not_a_stale_instances(commit: Commit, linus: User) -> None:
    stale = User.objects.get(pk=linus.pk)
    linus.first_name = "Leo"
    with commit():
        linus.save()
    stale.first_name = "Lea"
    with commit():
        stale.save()
    assert newest().changes == {"first_name": ["Leo", "Lea"]}


def test_fields_that_are_not_saved_are_not_told(commit: Commit, linus: User) -> None:
    linus.first_name, linus.last_name = "Leo", "Berg"
    with commit():
        linus.save(update_fields=["last_name"])
    assert newest().changes == {"last_name": ["Ahlberg", "Berg"]}


def test_deferred_fields_are_neither_loaded_nor_told(commit: Commit, linus: User) -> None:
    partial = User.objects.only("first_name").get(pk=linus.pk)
    partial.first_name = "Leo"
    with commit():
        partial.save()
    assert newest().changes == {"first_name": ["Linus", "Leo"]}


def test_a_kind_that_is_off_is_recorded_as_skipped(commit: Commit, linus: User) -> None:
    switch("update_notice", False)
    linus.first_name = "Leo"
    with commit():
        linus.save()
    email = newest()
    assert (email.kind, email.state, email.error) == (
        "update_notice",
        "skipped",
        "This kind of email is switched off.",
    )
    assert email.changes == {"first_name": ["Linus", "Leo"]}


def test_each_kind_that_is_off_is_recorded_for_itself_beside_the_email(commit: Commit, linus: User) -> None:
    switch("access_changed", False)
    linus.first_name, linus.is_staff = "Leo", True
    with commit():
        linus.save()
    told = {email.kind: email for email in EmailLog.objects.all()}
    assert {kind: (email.state, email.changes) for kind, email in told.items()} == {
        "update_notice": ("queued", {"first_name": ["Linus", "Leo"]}),
        "access_changed": ("skipped", {"is_staff": [False, True]}),
    }
    assert "Staff" not in told["update_notice"].text


def test_all_kinds_off_are_all_recorded(commit: Commit, linus: User) -> None:
    switch("access_changed", False)
    switch("update_notice", False)
    linus.first_name, linus.is_staff = "Leo", True
    with commit():
        linus.save()
    assert {(email.kind, email.state) for email in EmailLog.objects.all()} == {
        ("update_notice", "skipped"),
        ("access_changed", "skipped"),
    }


def test_what_goes_to_the_old_address_tells_of_the_address_alone(commit: Commit, linus: User) -> None:
    linus.first_name, linus.email = "Leo", "leo@example.com"
    with commit():
        linus.save()
    old = EmailLog.objects.get(recipients__address="linus@example.com")
    assert set(old.changes) == {"email"}
    assert "Leo" not in old.text.replace("Hello Leo", "")


@pytest.mark.parametrize(
    ("notice", "updated", "told"),
    [
        (True, False, ["update_notice"]),
        (False, True, ["account_updated"]),
        (True, True, ["update_notice", "account_updated"]),
    ],
)
def test_notice_and_report_take_each_others_place(
    commit: Commit, linus: User, notice: bool, updated: bool, told: list[str]
) -> None:
    switch("update_notice", notice)
    switch("account_updated", updated)
    linus.first_name = "Leo"
    with commit():
        linus.save()
    assert kinds() == told


def test_name_and_address_at_once_are_one_email_to_each_address(commit: Commit, linus: User) -> None:
    linus.first_name, linus.email = "Leo", "leo@example.com"
    with commit():
        linus.save()
    assert kinds() == ["email_changed"] * 2
    assert sorted(sent_to(email)[0] for email in EmailLog.objects.all()) == ["leo@example.com", "linus@example.com"]


def test_the_old_address_is_told_whatever_else_changes(commit: Commit, linus: User) -> None:
    linus.is_active, linus.email = False, "leo@example.com"
    with commit():
        linus.save()
    assert {(email.kind, sent_to(email)[0]) for email in EmailLog.objects.all()} == {
        ("deactivated", "leo@example.com"),
        ("email_changed", "linus@example.com"),
    }


def test_the_address_change_can_not_be_switched_off(commit: Commit, linus: User) -> None:
    switch("email_changed", False)
    linus.email = "leo@example.com"
    with commit():
        linus.save()
    assert {email.state for email in EmailLog.objects.all()} == {"queued"}


def test_a_deletion_after_a_change_is_only_a_deletion(commit: Commit, linus: User) -> None:
    with commit(), transaction.atomic():
        linus.first_name = "Leo"
        linus.save()
        linus.delete()
    assert kinds() == ["deletion_notice", "account_deleted"]
