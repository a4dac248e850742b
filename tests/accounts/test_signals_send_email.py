"""Each change that a person should know about becomes its kind of email."""

import pytest
from django.contrib.auth.models import Group, Permission

from accounts.models import User
from emails.models import EmailLog
from tests.conftest import Commit
from tests.log import kinds, newest, sent_to

pytestmark = pytest.mark.django_db


def test_a_new_person_is_welcomed(commit: Commit) -> None:
    with commit():
        User.objects.create_user("mei", "mei@example.com", first_name="Mei")
    assert kinds() == ["welcome"]
    assert sent_to(newest()) == ["mei@example.com"]
    assert "mei" in newest().html


def test_a_changed_name_is_told_ahead_with_old_and_new(commit: Commit, linus: User) -> None:
    with commit():
        linus.first_name = "Leo"
        linus.save()
    email = newest()
    assert email.kind == "update_notice"
    assert email.changes == {"first_name": ["Linus", "Leo"]}
    assert "Linus" in email.text
    assert "Leo" in email.text


@pytest.mark.parametrize(("before", "after", "kind"), [(True, False, "deactivated"), (False, True, "reactivated")])
def test_activity_has_kinds_of_its_own(commit: Commit, linus: User, before: bool, after: bool, kind: str) -> None:
    User.objects.filter(pk=linus.pk).update(is_active=before)
    linus.is_active = after
    with commit():
        linus.save()
    assert newest().kind == kind
    assert newest().changes == {"is_active": [before, after]}


def test_an_address_change_goes_to_the_old_address_and_to_the_new(commit: Commit, linus: User) -> None:
    linus.email = "new@example.com"
    with commit():
        linus.save()
    told = {sent_to(email)[0]: email for email in EmailLog.objects.filter(kind="email_changed")}
    assert set(told) == {"linus@example.com", "new@example.com"}
    assert "new@example.com" not in told["linus@example.com"].text
    assert "new@example.com" in told["new@example.com"].text


def test_a_password_is_told_without_any_of_it(commit: Commit, linus: User) -> None:
    linus.set_password("another secret")
    with commit():
        linus.save()
    email = newest()
    assert email.kind == "password_changed"
    assert email.changes == {"password": ["set", "changed"]}
    assert linus.password not in email.payload + email.text + email.html + str(email.changes)


def test_groups_and_permissions_are_access(commit: Commit, linus: User) -> None:
    group = Group.objects.create(name="Editors")
    with commit():
        linus.groups.add(group)
    assert (newest().kind, newest().changes) == ("access_changed", {"groups": [[], ["Editors"]]})
    permission = Permission.objects.get(codename="view_user")
    with commit():
        linus.user_permissions.set([permission])
    assert newest().changes == {"user_permissions": [[], [permission.name]]}
    with commit():
        linus.groups.clear()
    assert newest().changes == {"groups": [["Editors"], []]}


def test_groups_changed_from_the_groups_side_are_told_to_every_member(commit: Commit, linus: User, ada: User) -> None:
    group = Group.objects.create(name="Editors")
    with commit():
        group.user_set.add(linus, ada)
    assert kinds()[-2:] == ["access_changed"] * 2
    with commit():
        group.user_set.clear()
    assert [email.changes for email in EmailLog.objects.all()[:2]] == [{"groups": [["Editors"], []]}] * 2


def test_a_deleted_group_is_told_to_its_members(commit: Commit, linus: User) -> None:
    group = Group.objects.create(name="Editors")
    with commit():
        linus.groups.add(group)
    with commit():
        group.delete()
    assert newest().changes == {"groups": [["Editors"], []]}


def test_a_deletion_is_told_ahead_and_afterwards(commit: Commit, linus: User) -> None:
    with commit():
        linus.delete()
    assert kinds()[-2:] == ["deletion_notice", "account_deleted"]
    for email in EmailLog.objects.all()[:2]:
        assert sent_to(email) == ["linus@example.com"]
        assert email.user_label == "Linus Ahlberg (linus)"
        assert email.user is None


def test_an_empty_new_address_is_told_to_the_old_one(commit: Commit, linus: User) -> None:
    linus.email = ""
    with commit():
        linus.save()
    queued, skipped = newest(), EmailLog.objects.order_by("-id")[1]
    assert (queued.state, sent_to(queued)) == ("queued", ["linus@example.com"])
    assert (skipped.state, skipped.error) == ("skipped", "The person has no email address.")
