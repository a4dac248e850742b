"""The edge cases that existing systems trip over, numbered as in the field study (section 4). Others have files of
their own: 1 and 2 in test_nothing_is_mailed, 6 in test_welcome, 8 and 9 there and in test_one_email_per_change."""

import asyncio
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.db import models, transaction
from django.test import AsyncClient, Client
from django.urls import reverse

from accounts.models import User
from emails import tasks
from emails.cause import caused_by, current, suppress_emails
from emails.models import EmailLog
from tests.conftest import Commit
from tests.log import kinds, newest, sent_to

pytestmark = pytest.mark.django_db


class Contact(User):
    """A proxy, as a clone of this project may have."""

    class Meta:
        proxy = True
        app_label = "accounts"


def test_3_bulk_admin_actions_send_signals_for_each_person(commit: Commit, admin_client: Client, linus: User) -> None:
    with commit():
        people = [linus.pk, *(User.objects.create_user(f"p{n}", f"p{n}@example.com").pk for n in range(2))]
    with commit():
        chosen = {"action": "disable", "_selected_action": people, "confirm": "yes", "reason": "Left."}
        admin_client.post(reverse("admin:accounts_user_changelist"), {**chosen, "email_kinds": "deactivated"})
    assert kinds()[-3:] == ["deactivated"] * 3


def test_4_groups_are_compared_before_and_after_and_not_added_up(commit: Commit, linus: User) -> None:
    first, second = Group.objects.create(name="A"), Group.objects.create(name="B")
    with commit():
        linus.groups.set([first])
    EmailLog.objects.all().delete()
    with commit(), transaction.atomic():
        linus.groups.set([second])
        linus.groups.set([first])
    assert not EmailLog.objects.exists()
    with commit():
        linus.groups.set([first, second])
    assert newest().changes == {"groups": [["A"], ["A", "B"]]}


def test_5_a_primary_key_given_by_the_caller_is_still_a_new_person(commit: Commit) -> None:
    with commit():
        User(pk=4711, username="mei", email="mei@example.com").save()
    assert kinds() == ["welcome"]


def test_5_a_changed_primary_key_is_a_new_person(commit: Commit, linus: User) -> None:
    linus.pk, linus.username, linus.email = 4711, "copy", "copy@example.com"
    with commit():
        linus.save()
    assert (newest().kind, sent_to(newest())) == ("welcome", ["copy@example.com"])


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [("secret", "new", ["set", "changed"]), ("secret", None, ["set", "removed"]), (None, "new", ["not set", "set"])],
)
def test_7_a_password_is_set_changed_or_removed(commit: Commit, before: Any, after: Any, told: list[str]) -> None:
    with commit():
        mei = User.objects.create_user("mei", "mei@example.com", before)
    mei.set_password(after)
    with commit():
        mei.save()
    assert newest().changes == {"password": told}


def test_7_the_person_reads_who_changed_the_password(commit: Commit, linus: User, ada: User) -> None:
    texts = {}
    for actor in (linus, ada, None):
        linus.set_password(f"by {actor}")
        with commit(), caused_by("test", actor):
            linus.save()
        texts[actor] = newest().text
    assert "yourself" in texts[linus]
    assert "member of our staff" in texts[ada]
    assert "our system" in texts[None]
    assert all("Ada" not in text for text in texts.values())


@pytest.mark.django_db(transaction=True)
def test_10_a_deletion_knows_the_person_to_the_end() -> None:
    mei = User.objects.create_user("mei", "mei@example.com", first_name="Mei")
    with transaction.atomic():
        mei.delete()
    gone: Any = mei.pk
    assert gone is None
    for email in EmailLog.objects.all()[:2]:
        assert (email.user_label, sent_to(email)) == ("Mei (mei)", ["mei@example.com"])
        assert "Hello Mei," in email.text


def test_11_delete_selected_says_goodbye_to_each(commit: Commit, linus: User, admin_client: Client) -> None:
    with commit():
        mei = User.objects.create_user("mei", "mei@example.com")
    data = {"action": "delete", "_selected_action": [linus.pk, mei.pk], "confirm": "yes", "reason": "Left."}
    data["email_kinds"] = ["deletion_notice", "account_deleted"]
    with commit():
        admin_client.post(reverse("admin:accounts_user_changelist"), data)
    told = EmailLog.objects.filter(kind="account_deleted").order_by("id")
    assert sorted(sent_to(email)[0] for email in told) == ["linus@example.com", "mei@example.com"]
    assert EmailLog.objects.filter(kind="deletion_notice").count() == 2


def test_12_an_error_after_commit_leaves_the_email_recorded(commit: Commit, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(type(tasks.deliver), "enqueue", broken)
    later = []
    with commit(), transaction.atomic():
        User.objects.create_user("mei", "mei@example.com")
        transaction.on_commit(lambda: later.append(True))
    assert newest().state == "queued"
    assert later == [True]


def test_12_a_broken_template_does_not_stop_the_save(
    commit: Commit, linus: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("template")

    monkeypatch.setattr("accounts.writing.render", broken)
    linus.first_name = "Leo"
    with commit():
        linus.save()
    linus.refresh_from_db()
    assert linus.first_name == "Leo"
    assert (newest().state, newest().error) == ("failed", "Could not be written: RuntimeError")


def test_13_hooks_are_run_by_djangos_own_helper_as_often_as_a_test_likes(
    django_capture_on_commit_callbacks: Any,
) -> None:
    with django_capture_on_commit_callbacks(execute=True) as first:
        mei = User.objects.create_user("mei", "mei@example.com")
    with django_capture_on_commit_callbacks(execute=True) as second:
        mei.first_name = "Mei"
        mei.save()
    assert len(first) == len(second) == 3  # the story, the recorded row, one wake-up
    assert kinds() == ["welcome", "update_notice"]


def test_14_a_proxy_of_the_user_model_is_heard(commit: Commit) -> None:
    with commit():
        mei = Contact.objects.create(username="mei", email="mei@example.com")
    mei.first_name = "Mei"
    with commit():
        mei.save()
    with commit():
        mei.delete()
    assert kinds() == ["welcome", "update_notice", "deletion_notice", "account_deleted"]


def test_14_signals_are_connected_once_however_often_the_app_is_made_ready(commit: Commit) -> None:
    from django.apps import apps

    apps.get_app_config("accounts").ready()
    with commit():
        User.objects.create_user("mei", "mei@example.com")
    assert kinds() == ["welcome"]


def test_15_commands_are_the_system(commit: Commit) -> None:
    with commit():
        call_command("createsuperuser", "--noinput", "--username=root", "--email=root@example.com")
    assert (newest().kind, newest().actor, newest().actor_label) == ("welcome", None, "system")


@pytest.mark.django_db(transaction=True)
def test_15_an_address_that_is_taken_in_another_case_is_one_line_for_who_types_the_command() -> None:
    User.objects.create_user("mei", "mei@example.com")
    EmailLog.objects.all().delete()
    with pytest.raises(CommandError, match="changepassword USERNAME"):
        call_command("createsuperuser", "--noinput", "--username=root", "--email=Mei@example.com")
    assert not User.objects.filter(username="root").exists()
    assert not EmailLog.objects.exists()


def test_15_emails_can_be_suppressed_for_a_block_and_the_log_says_so(commit: Commit) -> None:
    with commit(), suppress_emails("Imported from the old system."):
        User.objects.create_user("mei", "mei@example.com")
    assert (newest().state, newest().error) == ("skipped", "Imported from the old system.")
    with commit():
        User.objects.create_user("leo", "leo@example.com")
    assert newest().state == "queued"


def test_16_causes_do_not_leak_between_tasks() -> None:
    async def work(name: str) -> str:
        with caused_by(name):
            await asyncio.sleep(0)
            return current().text

    async def both() -> list[str]:
        return list(await asyncio.gather(work("a"), work("b")))

    assert asyncio.run(both()) == ["a", "b"]
    assert current().text not in {"a", "b"}


@pytest.mark.django_db(transaction=True)
def test_16_an_async_request_names_its_actor_and_is_forgotten() -> None:
    ada = User.objects.create_superuser("ada", "ada@example.com", "secret")
    linus = User.objects.create_user("linus", "linus@example.com")
    client = AsyncClient()
    client.force_login(ada)
    url = reverse("admin:accounts_user_delete", args=[linus.pk])
    async_to_sync(client.post)(url, {"post": "yes"})  # Its synchronous parts run in this thread, on its connection.
    assert (newest().actor, newest().cause) == (ada, f"POST {url}")
    assert current().actor is None


def test_17_an_address_for_the_first_time_sends_nothing_to_the_empty_old_one(commit: Commit) -> None:
    User.objects.bulk_create([User(username="mei")])
    mei = User.objects.get(username="mei")
    mei.email = "mei@example.com"
    with commit():
        mei.save()
    assert [(email.kind, sent_to(email)) for email in EmailLog.objects.all()] == [("welcome", ["mei@example.com"])]


def test_18_a_deactivated_person_is_told_once(commit: Commit, linus: User) -> None:
    linus.is_active = False
    for _ in range(2):
        with commit():
            linus.save()
    assert kinds().count("deactivated") == 1


@pytest.mark.parametrize(
    ("address", "reason"),
    [("", "The person has no email address."), ("not-one", "The person's email address is not a valid one.")],
)
def test_18_who_can_not_be_reached_is_recorded_as_skipped(commit: Commit, address: str, reason: str) -> None:
    (mei,) = User.objects.bulk_create([User(username="mei", email=address)])
    mei.is_active = False
    with commit():
        mei.save()
    assert (newest().state, newest().error) == ("skipped", reason)


def test_18_staff_who_edit_themselves_are_told_so(commit: Commit, ada: User) -> None:
    ada.first_name = "Augusta"
    with commit(), caused_by("test", ada):
        ada.save()
    assert "You made this change yourself." in newest().text


def test_18_who_deletes_the_own_account_stays_named(commit: Commit, ada: User) -> None:
    with commit():
        User.objects.create_superuser("grace", "grace@example.com")
    with commit(), caused_by("test", ada):
        ada.delete()
    for email in EmailLog.objects.all()[:2]:
        assert (email.actor, email.actor_label) == (None, "ada")


def test_25_links_come_from_the_site_url_whatever_host_was_asked_for(
    commit: Commit, admin_client: Client, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    data = {"username": "mei", "email": "mei@example.com", "language": "en"}
    with commit():
        admin_client.post(
            reverse("admin:accounts_user_add"),
            data,
            headers={"host": "evil.example", "x-forwarded-host": "evil.example"},
        )
    assert "https://backoffice.example.com" in newest().html
    assert "evil.example" not in newest().html + newest().text


def test_26_auto_responders_are_asked_to_be_silent(commit: Commit, linus: User) -> None:
    assert '["Auto-Submitted", "auto-generated"]' in newest().payload
    assert '["X-Auto-Response-Suppress", "All"]' in newest().payload


def test_32_a_form_posted_twice_sends_one_email(commit: Commit, admin_client: Client, linus: User) -> None:
    url = reverse("admin:accounts_user_change", args=[linus.pk])
    data = {"username": "linus", "first_name": "Leo", "email": linus.email, "language": "en", "is_active": "on"}
    for _ in range(2):
        with commit():
            assert admin_client.post(url, data).status_code == 302
    assert kinds().count("update_notice") == 1
    for _ in range(2):
        with commit():
            admin_client.post(reverse("admin:accounts_user_delete", args=[linus.pk]), {"post": "yes"})
    assert kinds().count("account_deleted") == 1


def test_34_the_log_outlives_people_and_never_makes_them_undeletable(
    commit: Commit, linus: User, ada: User, admin_client: Client
) -> None:
    linus.first_name = "Leo"
    with commit(), caused_by("test", ada):
        linus.save()
    email = newest()
    with commit():
        page = admin_client.get(reverse("admin:accounts_user_delete", args=[linus.pk]))
        assert "protected" not in page.content.decode().lower()
        admin_client.post(reverse("admin:accounts_user_delete", args=[linus.pk]), {"post": "yes"})
        User.objects.get(pk=ada.pk).delete()
    email.refresh_from_db()
    assert (email.user, email.actor) == (None, None)
    assert (email.user_label, email.actor_label) == ("Leo Ahlberg (linus)", "ada")


def test_34_every_reference_to_people_is_set_null() -> None:
    for field in EmailLog._meta.get_fields():
        if isinstance(field, models.ForeignKey) and field.related_model is User:
            assert field.remote_field.on_delete is models.SET_NULL, field.name
