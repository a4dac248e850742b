"""Due messages leave once; what becomes of each attempt is written where staff find it."""

import random
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.core.mail import EmailMultiAlternatives
from django.db import DataError, InterfaceError, OperationalError, connections
from django.db.models.functions import Now
from django.utils import timezone

from emails import delivery, rescue, settling
from emails.claims import Claims
from emails.models import EmailEvent, EmailLog, State
from emails.outcomes import Outcome
from emails.providers import PROVIDERS
from emails.verdicts import Verdict
from tests.conftest import Commit
from tests.esp import LoopbackESP
from tests.log import newest
from tests.sink import SMTPSink

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("asleep")]


def record(*, to: list[str] | None = None, **options: Any) -> EmailLog:
    message = EmailMultiAlternatives("Größe", "the text\n", to=to or ["Linus <linus@example.com>"], **options)
    message.attach_alternative("<p>the html</p>", "text/html")
    message.send()
    email: EmailLog = message.email_log  # type: ignore[attr-defined]
    return email


def fence(claimed: list[EmailLog], lease: timedelta) -> list[EmailLog]:
    return EmailLog.objects.fence(claimed, timezone.now(), lease, "postmark")


def drain() -> tuple[int, bool]:
    return delivery.drain(seconds=5)


def due_again() -> None:
    EmailLog.objects.filter(state=State.RETRYING).update(run_at=Now())


def test_what_the_provider_receives_is_what_the_log_shows(esp: LoopbackESP) -> None:
    email = record()
    assert drain() == (1, False)
    email.refresh_from_db()
    (received,) = esp.accepted
    assert (received["Subject"], received["TextBody"], received["HtmlBody"]) == (email.subject, email.text, email.html)
    assert received["Metadata"]["ref"] == str(email.ref)
    assert (email.state, email.provider, email.message_id, email.attempts) == ("sent", "postmark", "pm-1", 1)
    assert email.sent_at is not None
    assert email.lease_until is None
    assert email.recipients.get().message_id == "pm-1"
    assert [event.type for event in email.events.all()] == ["sent"]


def test_smtp_receives_what_the_log_shows(sink: SMTPSink) -> None:
    email = record(cc=["c@example.com"], bcc=["b@example.com"])
    drain()
    email.refresh_from_db()
    (received,) = sink.messages
    text, html = received.get_body(("plain",)), received.get_body(("html",))
    assert text is not None
    assert html is not None
    assert (received["Subject"], text.get_content().strip(), html.get_content().strip()) == (
        email.subject,
        email.text.strip(),
        email.html,
    )
    assert received["Bcc"] is None
    assert sorted(sink.envelopes[0].rcpt_tos) == ["b@example.com", "c@example.com", "linus@example.com"]
    assert received["Message-ID"] == email.message_id == f"<{email.ref}@example.com>"
    assert email.state == "sent"


def test_the_console_prints_it(capfd: pytest.CaptureFixture[str]) -> None:
    email = record()
    drain()
    email.refresh_from_db()
    printed = capfd.readouterr().out
    assert "the html" in printed
    assert (email.state, email.provider) == ("sent", "console")


def test_a_provider_that_is_down_costs_a_retry_and_later_nothing(esp: LoopbackESP) -> None:
    email = record()
    esp.fault = 503
    drain()
    email.refresh_from_db()
    assert (email.state, email.attempts) == ("retrying", 1)
    assert "503" in email.error
    assert "linus@example.com" not in email.error
    assert timezone.now() < email.run_at < timezone.now() + timedelta(seconds=31)
    esp.fault = None
    due_again()
    drain()
    email.refresh_from_db()
    assert (email.state, email.attempts, len(esp.accepted)) == ("sent", 2, 1)


def test_a_provider_nobody_can_reach_is_retried(settings: Any) -> None:
    settings.EMAILS = {**settings.EMAILS, "PROVIDER": "postmark", "OPTIONS": {}}
    settings.ANYMAIL = {"POSTMARK_SERVER_TOKEN": "t", "POSTMARK_API_URL": "http://127.0.0.1:9/"}
    email = record()
    drain()
    email.refresh_from_db()
    assert email.state == "retrying"


def test_a_connection_that_breaks_after_the_request_leaves_a_doubt_and_no_second_copy(esp: LoopbackESP) -> None:
    email = record()
    esp.fault = "reset-after"
    drain()
    drain()
    email.refresh_from_db()
    assert (email.state, len(esp.accepted)) == ("in_doubt", 1)


def test_an_answer_nobody_can_read_leaves_a_doubt(esp: LoopbackESP) -> None:
    email = record()
    esp.fault = "garbage"
    drain()
    email.refresh_from_db()
    assert (email.state, len(esp.accepted)) == ("in_doubt", 1)


@pytest.mark.parametrize(
    ("status", "state", "attempts"), [(422, "failed", 1), (401, "retrying", 0), (429, "retrying", 0)]
)
def test_answers_are_taken_at_their_word(esp: LoopbackESP, status: int, state: str, attempts: int) -> None:
    email = record()
    esp.fault = status
    drain()
    email.refresh_from_db()
    assert (email.state, email.attempts) == (state, attempts)


def test_tries_come_to_an_end(esp: LoopbackESP, settings: Any) -> None:
    settings.EMAILS = {**settings.EMAILS, "MAX_ATTEMPTS": 2}
    email = record()
    esp.fault = 500
    for _ in range(3):
        due_again()
        drain()
    email.refresh_from_db()
    assert (email.state, email.attempts, esp.requests) == ("failed", 2, 2)
    assert email.error.startswith("Given up after 2 attempts.")


def test_old_messages_are_given_up(esp: LoopbackESP) -> None:
    email = record()
    EmailLog.objects.update(first_tried_at=timezone.now() - timedelta(hours=25))
    esp.fault = 500
    drain()
    email.refresh_from_db()
    assert (email.state, email.attempts) == ("failed", 1)


def test_one_bad_message_stops_no_other(esp: LoopbackESP) -> None:
    emails = [record() for _ in range(3)]
    EmailLog.objects.filter(pk=emails[1].pk).update(payload="{not json")
    drain()
    assert list(EmailLog.objects.order_by("id").values_list("state", flat=True)) == ["sent", "failed", "sent"]


def test_a_partial_refusal_is_told_per_recipient(sink: SMTPSink) -> None:
    sink.refuse = {"b@example.com": "550 no such user"}
    email = record(to=["a@example.com", "b@example.com"])
    drain()
    email.refresh_from_db()
    assert email.state == "sent"
    assert [(r.address, r.delivery) for r in email.recipients.all()] == [
        ("a@example.com", ""),
        ("b@example.com", "rejected"),
    ]


def test_a_refused_recipient_is_not_tried_again(sink: SMTPSink) -> None:
    sink.refuse = {"linus@example.com": "550 no such user"}
    email = record()
    drain()
    email.refresh_from_db()
    assert (email.state, email.error) == ("suppressed", "550 no such user")


def test_an_smtp_server_that_defers_is_tried_again(sink: SMTPSink) -> None:
    sink.after_data = "451 try later"
    email = record()
    drain()
    email.refresh_from_db()
    assert email.state == "retrying"


def test_a_message_not_due_yet_waits(esp: LoopbackESP) -> None:
    record()
    EmailLog.objects.update(run_at=timezone.now() + timedelta(minutes=5))
    assert drain() == (0, False)


def test_what_another_worker_holds_is_left_alone(esp: LoopbackESP) -> None:
    record()
    held = EmailLog.objects.claim(10, timedelta(seconds=60))
    assert len(held) == 1
    assert drain() == (0, False)
    assert esp.requests == 0


@pytest.mark.parametrize(
    ("few", "most", "expected"),
    [(4, 128, [4, 8, 16, 30, 30]), (4, 8, [4, 8, 16, 24, 30]), (10, 8, [10, 20, 30, 30, 30])],
)
def test_a_worker_takes_more_at_once_where_what_it_took_is_gone_quickly(
    few: int, most: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emails.claims.MOST", most)
    monkeypatch.setattr("emails.claims.QUICKLY", 600)
    for number in range(30):
        record(to=[f"p{number}@example.com"])
    claims = Claims(PROVIDERS["postmark"], timedelta(minutes=5), few)
    held = []
    for _ in expected:
        claims.take(claims.ahead, timezone.now(), busy=False)
        held.append(len(claims))
    assert held == expected
    assert claims.ahead == few
    claims.release()
    assert EmailLog.objects.filter(state=State.QUEUED).count() == 30


def test_of_what_takes_long_a_worker_takes_little_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emails.claims.QUICKLY", 0)
    for number in range(12):
        record(to=[f"p{number}@example.com"])
    claims = Claims(PROVIDERS["postmark"], timedelta(minutes=5), 4)
    for held in (4, 8, 12):
        claims.take(claims.ahead, timezone.now(), busy=False)
        assert len(claims) == held


def test_a_stale_claim_goes_back_into_the_queue(esp: LoopbackESP) -> None:
    email = record()
    EmailLog.objects.claim(10, timedelta(seconds=-1))
    assert rescue.sweep() == 1
    email.refresh_from_db()
    assert (email.state, email.attempts) == ("queued", 0)
    drain()
    email.refresh_from_db()
    assert email.state == "sent"


def test_a_stale_send_is_in_doubt_and_not_sent_again(esp: LoopbackESP) -> None:
    email = record()
    claimed = EmailLog.objects.claim(10, timedelta(seconds=60))
    assert fence(claimed, timedelta(seconds=-1)) == claimed
    assert rescue.sweep() == 1
    assert rescue.sweep() == 0
    drain()
    email.refresh_from_db()
    assert (email.state, esp.requests) == ("in_doubt", 0)
    assert [event.type for event in email.events.all()] == ["rescued"]


def test_a_late_answer_resolves_the_doubt_of_its_own_attempt() -> None:
    email = record()
    (claimed,) = EmailLog.objects.claim(10, timedelta(seconds=60))
    EmailLog.objects.address([claimed])
    fence([claimed], timedelta(seconds=-1))
    claimed.provider = "postmark"
    rescue.sweep()
    late = Outcome(Verdict.ACCEPTED, recipients={"linus@example.com": ("late", "sent")})
    assert settling.write([(claimed, late)], timezone.now()) == 1
    email.refresh_from_db()
    assert (email.state, email.message_id) == ("sent", "late")
    assert settling.write([(claimed, Outcome(Verdict.PERMANENT))], timezone.now()) == 0


def test_a_worker_whose_claim_ran_out_does_not_send() -> None:
    record()
    claimed = EmailLog.objects.claim(10, timedelta(seconds=-1))
    assert fence(claimed, timedelta(seconds=60)) == []


@pytest.mark.django_db(transaction=True)
def test_sending_is_committed_before_the_request(esp: LoopbackESP) -> None:
    seen: list[Any] = []

    def look(number: int) -> None:
        """What another connection to the database sees while the provider has the request in its hands."""
        try:
            seen.extend(EmailLog.objects.values_list("state", "attempts"))
        finally:
            connections.close_all()

    esp.fault = look
    record()
    drain()
    assert seen == [("sending", 1)]


def test_each_thread_opens_one_connection_and_reuses_it(esp: LoopbackESP, settings: Any) -> None:
    settings.EMAILS = {**settings.EMAILS, "CONCURRENCY": 4}
    for n in range(40):
        record(to=[f"p{n}@example.com"])
    assert drain() == (40, False)
    assert len(set(esp.refs)) == len(esp.accepted) == 40
    assert 1 <= esp.connections <= 4
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("email-")]
    assert len(names) <= 4


def test_messages_to_one_address_leave_in_their_order(esp: LoopbackESP, settings: Any) -> None:
    settings.EMAILS = {**settings.EMAILS, "CONCURRENCY": 8}
    chance = random.Random(7)
    esp.fault = lambda number: time.sleep(chance.uniform(0, 0.02))
    refs = [str(record(to=[f"p{n % 3}@example.com"]).ref) for n in range(30)]
    drain()
    for address in range(3):
        mine = refs[address::3]
        assert [ref for ref in esp.refs if ref in mine] == mine


def test_a_database_that_is_away_when_the_answer_comes_loses_no_outcome(
    esp: LoopbackESP, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, failures = settling.write, iter([OperationalError("gone"), InterfaceError("closed")])

    def flaky(*args: Any, **kwargs: Any) -> int:
        for failure in failures:
            raise failure
        return write(*args, **kwargs)

    monkeypatch.setattr(delivery, "write", flaky)
    monkeypatch.setattr(type(connections["default"]), "close", lambda self: None)
    email = record()
    assert drain() == (1, False)
    email.refresh_from_db()
    assert (email.state, len(esp.accepted)) == ("sent", 1)


@pytest.mark.parametrize("odd", ["pm\x00x", "pm\ud800x", "x" * 1000])
def test_an_odd_message_id_costs_nobody_the_outcome(esp: LoopbackESP, odd: str) -> None:
    esp.message_id = odd
    emails = [record(to=[f"p{n}@example.com"]) for n in range(3)]
    drain()
    for email in emails:
        email.refresh_from_db()
        assert email.state == "sent"


@pytest.mark.django_db(transaction=True)
def test_an_outcome_that_the_database_refuses_is_a_doubt_of_its_own(
    esp: LoopbackESP, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = settling.told

    def refused(email: EmailLog, outcome: Any) -> Any:
        if email.pk == bad.pk and outcome.message_id:
            raise DataError("a value that no column takes")
        return told(email, outcome)

    emails = [record(to=[f"p{n}@example.com"]) for n in range(3)]
    bad = emails[1]
    monkeypatch.setattr(settling, "told", refused)
    drain()
    assert list(EmailLog.objects.order_by("id").values_list("state", flat=True)) == ["sent", "in_doubt", "sent"]


def test_the_timeline_only_grows(esp: LoopbackESP) -> None:
    email = record()
    esp.fault = 500
    drain()
    esp.fault = None
    due_again()
    drain()
    events = EmailEvent.objects.filter(email=email)
    assert [(event.type, event.detail.get("attempt")) for event in events] == [("retrying", 1), ("sent", 2)]


def test_a_kind_of_its_own_rides_as_a_tag(commit: Commit, esp: LoopbackESP, linus: Any) -> None:
    drain()
    assert esp.accepted[-1]["Tag"] == "welcome"
    assert newest().recipients.get().message_id == newest().message_id


def test_a_worker_whose_claim_is_anothers_now_does_not_send() -> None:
    record()
    late = EmailLog.objects.claim(10, timedelta(seconds=-1))
    rescue.sweep()
    with_it = EmailLog.objects.all().claim(10, timedelta(seconds=60))
    assert [email.pk for email in with_it] == [email.pk for email in late]
    assert fence(late, timedelta(seconds=60)) == []
    assert fence(with_it, timedelta(seconds=60)) == with_it


def test_an_outcome_of_an_attempt_that_is_not_the_last_changes_nothing() -> None:
    record()
    (late,) = EmailLog.objects.claim(10, timedelta(seconds=60))
    EmailLog.objects.address([late])
    fence([late], timedelta(seconds=60))
    late.provider = "postmark"
    EmailLog.objects.update(state=State.RETRYING)
    with_it = EmailLog.objects.claim(10, timedelta(seconds=60))
    fence(with_it, timedelta(seconds=60))
    assert settling.write([(late, Outcome(Verdict.PERMANENT))], timezone.now()) == 0
    assert newest().state == "sending"


@pytest.mark.django_db(transaction=True)
def test_the_lease_of_a_call_that_takes_long_is_renewed(esp: LoopbackESP, settings: Any) -> None:
    settings.EMAILS = {**settings.EMAILS, "LEASE": timedelta(seconds=1)}
    seen: list[Any] = []

    def take_long(number: int) -> None:
        """What a sweeper would find, long after the lease that the fence gave."""
        time.sleep(1.6)
        try:
            seen.append(rescue.sweep())
        finally:
            connections.close_all()

    esp.fault = take_long
    email = record()
    drain()
    email.refresh_from_db()
    assert (seen, email.state) == ([0], "sent")
