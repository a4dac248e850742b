"""What is old is forgotten, in steps, and never what is in flight, in doubt, or about somebody under a legal hold."""

import threading
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.mail import EmailMultiAlternatives
from django.core.management import call_command
from django.db import IntegrityError, connection, connections
from django.db.models import ProtectedError
from django.test import Client
from django.utils import timezone

from accounts import lifecycle, policy
from accounts.models import User
from emails import kinds, purging
from emails.models import EmailAttachment, EmailEvent, EmailLog, EmailRecipient, LegalHold, State, Tombstone
from tests.conftest import Commit
from tests.log import force

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("asleep")]


def email(days: int, state: State = State.SENT, **values: Any) -> EmailLog:
    message = EmailMultiAlternatives("Subject", "The text", to=["linus@example.com"])
    message.attach_alternative("<p>The html", "text/html")
    message.attach("bill.pdf", b"%PDF", "application/pdf")
    message.send()
    row: EmailLog = message.email_log  # type: ignore[attr-defined]
    if state != State.QUEUED:
        force(row, state=state)
    EmailLog.objects.filter(pk=row.pk).update(created_at=timezone.now() - timedelta(days=days), **values)
    EmailEvent.of_attempt(row, "sent", {}, timezone.now()).save()
    row.refresh_from_db()
    return row


def has_content(row: EmailLog) -> bool:
    row.refresh_from_db()
    kept = {bool(row.text), bool(row.html), bool(row.payload), row.attachments.exists(), row.purged_at is None}
    assert len(kept) == 1
    return kept.pop()


def test_content_goes_after_ninety_days_and_facts_stay() -> None:
    old, young = email(91), email(89)
    assert purging.purge() == purging.Purged(bodies=1, rows=0, more=False)
    assert (has_content(old), has_content(young)) == (False, True)
    assert (old.subject, old.recipients.count(), old.events.count()) == ("Subject", 1, 1)
    assert purging.purge() == purging.Purged(bodies=0, rows=0, more=False)


@pytest.mark.parametrize("state", [State.QUEUED, State.CLAIMED, State.SENDING, State.RETRYING, State.IN_DOUBT])
def test_what_may_still_be_sent_or_nobody_knows_of_stays(state: State) -> None:
    row = email(5000, state)
    assert purging.purge() == purging.Purged(0, 0, more=False)
    assert has_content(row)


def test_rows_go_after_four_hundred_days_and_are_counted() -> None:
    gone = [email(401, kind="welcome"), email(401, kind="welcome", delivery="bounced")]
    again = email(401, kind="welcome")
    stays = email(399)
    EmailLog.objects.filter(pk=stays.pk).update(resend_of=again)
    assert purging.purge().rows == 3
    assert list(EmailLog.objects.values_list("pk", "resend_of")) == [(stays.pk, None)]
    for model in (EmailRecipient, EmailAttachment, EmailEvent):
        assert not model.objects.filter(email__in=[row.pk for row in gone]).exists()
    stones = {(stone.kind, stone.status): stone.count for stone in Tombstone.objects.all()}
    assert stones == {("welcome", "sent"): 2, ("welcome", "bounced"): 1}
    assert Tombstone.covers(gone[0].pk)
    assert not Tombstone.covers(stays.pk)


def test_a_kind_may_have_days_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    short = replace(kinds.KINDS["welcome"], keep_body_days=1, keep_days=10)
    monkeypatch.setitem(kinds.KINDS, "welcome", short)
    long = replace(kinds.KINDS["password_changed"], keep_body_days=1000)
    monkeypatch.setitem(kinds.KINDS, "password_changed", long)
    welcome, older = email(2, kind="welcome"), email(11, kind="welcome")
    kept, other = email(95, kind="password_changed"), email(2)
    assert purging.purge() == purging.Purged(bodies=2, rows=1, more=False)
    assert not EmailLog.objects.filter(pk=older.pk).exists()
    assert (has_content(welcome), has_content(kept), has_content(other)) == (False, True, True)


def test_a_legal_hold_keeps_everything_about_a_person(commit: Commit, ada: User, linus: User) -> None:
    held, other = email(500, user=linus), email(500, user=ada)
    assert LegalHold.begin(linus, ada, "A case.")
    assert not LegalHold.begin(linus, ada, "Twice.")
    purging.purge()
    assert has_content(held)
    assert not EmailLog.objects.filter(pk=other.pk).exists()
    assert policy.refusal(ada, "anonymise", linus) == policy.refusal(ada, "delete", linus) == policy.HELD
    assert not policy.permitted(ada, "anonymise", User.objects.all()).filter(pk=linus.pk).exists()
    with pytest.raises(ProtectedError):
        linus.delete()
    hold = LegalHold.objects.get()
    assert hold.end(ada, "Settled.")
    assert not hold.end(ada, "Twice.")
    purging.purge()
    assert not EmailLog.objects.filter(pk=held.pk).exists()
    with commit():
        lifecycle.delete(linus, "Left.")
    hold.refresh_from_db()
    assert (hold.user_label, hold.ended_by_label, hold.ended_for) == ("Linus Ahlberg (linus)", "ada", "Settled.")


def test_two_open_holds_of_one_person_are_impossible(ada: User, linus: User) -> None:
    LegalHold.begin(linus, ada, "A case.")
    with pytest.raises(IntegrityError):
        LegalHold.objects.create(user=linus, user_label="x", reason="x", began_by_label="x")


def test_holds_are_begun_and_ended_in_the_admin_for_a_reason(ada: User, linus: User, client: Client) -> None:
    client.force_login(ada)
    url = "/admin/emails/legalhold/"

    def post(**data: str) -> str:
        page = client.post(f"{url}hold/", data, follow=True)
        return " ".join(str(message) for message in page.context["messages"])

    assert "Say why" in post(username="linus", reason=" ")
    assert "nobody with the username" in post(username="nobody", reason="A case.")
    assert "until the hold ends" in post(username="linus", reason="A case.")
    assert "a hold already" in post(username="linus", reason="A case.")
    page = client.get(url).content.decode()
    assert "Linus Ahlberg (linus)" in page
    assert "A case." in page
    hold = LegalHold.objects.get()
    assert client.post(f"{url}{hold.pk}/change/", {"reason": "x"}).status_code == 403
    assert "has ended" in post(end=str(hold.pk), reason="Settled.")
    assert "Settled." in client.get(url).content.decode()
    reader = User.objects.create_user("reader", "reader@example.com", is_staff=True)
    client.force_login(reader)
    assert client.post(f"{url}hold/", {"username": "linus", "reason": "x"}).status_code == 403


def test_the_command_tells_and_a_dry_run_only_tells(ada: User, linus: User, capsys: Any) -> None:
    old = [email(100), email(500)]
    LegalHold.begin(linus, ada, "A case.")
    call_command("purge_emails", "--dry-run")
    said = capsys.readouterr().out
    assert "Would forget the content of 2 emails, and 1 emails as a whole." in said
    assert "1 people are under a legal hold" in said
    assert all(has_content(row) for row in old)
    call_command("purge_emails")
    assert "Forgot the content of 2 emails, and 1 emails as a whole." in capsys.readouterr().out
    assert EmailLog.objects.filter(pk__in=[row.pk for row in old]).count() == 1


def test_a_slice_ends_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "BATCH", 2)
    for _ in range(5):
        email(100)
    assert purging.purge(seconds=0) == purging.Purged(bodies=2, rows=0, more=True)
    assert purging.purge() == purging.Purged(bodies=3, rows=0, more=False)


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_count_what_is_forgotten_once(monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    for _ in range(6):
        email(500)
    together, whole = threading.Barrier(2), Tombstone.count_in

    def count_in(*args: Any) -> None:
        with suppress(threading.BrokenBarrierError):
            together.wait(1)  # Both have chosen their rows before either deletes any.
        whole(*args)

    monkeypatch.setattr(purging, "BATCH", 3)
    monkeypatch.setattr(Tombstone, "count_in", count_in)

    def work() -> None:
        purging.forget_rows(timezone.now())
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert EmailLog.objects.count() == 0
    assert sum(stone.count for stone in Tombstone.objects.all()) == 6


def test_pages_say_what_was_forgotten(ada: User, client: Client) -> None:
    client.force_login(ada)
    old, gone = email(100), email(500)
    purging.purge()
    page = client.get(old.get_absolute_url()).content.decode()
    assert "Its content was forgotten on" in page
    assert "The text" not in page
    answer = client.get(gone.get_absolute_url())
    assert answer.status_code == 410
    assert "older than the log is kept" in answer.content.decode()
