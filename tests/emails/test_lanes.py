"""A lane closes where its provider fails, is tried with one message, opens by itself; what waits is not given up."""

import logging
import time
from contextlib import suppress
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import time_machine
from django.core.mail import EmailMessage
from django.db import DataError, OperationalError
from django.db.models.functions import Now
from django.utils import timezone

from emails import delivery, kinds, rescue, tasks
from emails.claims import PATIENCE, Claims
from emails.kinds import EmailKind
from emails.minting import mint
from emails.models import EmailLog, Lane, Pause, Permit, State
from emails.models.permit import period, permits
from emails.providers import active
from emails.sending import kept_senders
from tests.esp import LoopbackESP
from tests.log import force
from tests.sink import SMTPSink

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("asleep")]


def record(count: int = 1, to: str = "p%d@example.com") -> list[EmailLog]:
    messages = [EmailMessage("s", "b", to=[to.replace("%d", str(n))]) for n in range(count)]
    for message in messages:
        message.send()
    return [message.email_log for message in messages]  # type: ignore[attr-defined]


def drain() -> int:
    return delivery.drain(seconds=5)[0]


def lane() -> Lane:
    return Lane.objects.get(key="postmark")


def time_passes() -> None:
    """What waits for another try is due, and the lane may be tried."""
    EmailLog.objects.filter(state=State.RETRYING).update(run_at=Now())
    Lane.objects.update(closed_until=Now())


@pytest.fixture(autouse=True)
def one_by_one(settings: Any) -> None:
    settings.EMAILS = {**settings.EMAILS, "CONCURRENCY": 1}


def test_five_failures_in_a_row_close_it_and_cost_no_more(esp: LoopbackESP, caplog: Any) -> None:
    record(20)
    esp.fault = 503
    with caplog.at_level(logging.ERROR, "emails"):
        drain()
    assert (esp.requests, lane().reason) == (5, "failing")
    assert drain() == 0
    assert [r.message.split()[0] for r in caplog.records] == ["lane.closed"]  # one alert, and not one for each


def test_it_tells_when_it_opens_again(esp: LoopbackESP, caplog: Any) -> None:
    record(6)
    esp.fault = 503
    drain()
    esp.fault = None
    time_passes()
    with caplog.at_level(logging.WARNING, "emails"):
        drain()
    assert "lane.opened provider=postmark" in caplog.text


def test_an_address_that_is_none_closes_it_and_leaves_no_doubt(esp: LoopbackESP, settings: Any) -> None:
    settings.ANYMAIL = {**settings.ANYMAIL, "POSTMARK_API_URL": "foo"}
    record(3)
    drain()
    assert lane().reason == "configuration"
    assert set(EmailLog.objects.values_list("state", flat=True)) <= {"queued", "retrying"}


@pytest.mark.parametrize("absent", ["region", "credentials"])
def test_amazon_without_a_region_or_credentials_loses_nothing(
    absent: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    params = {} if absent == "region" else {"region_name": "eu-central-1", "endpoint_url": "http://127.0.0.1:9"}
    settings.ANYMAIL = {"AMAZON_SES_CLIENT_PARAMS": params, "REQUESTS_TIMEOUT": 1}
    settings.EMAILS = {**settings.EMAILS, "PROVIDER": "amazon_ses"}
    record()
    drain()
    assert Lane.objects.get(key="amazon_ses").reason == "configuration"
    assert EmailLog.objects.get().state == "retrying"


def test_a_success_in_between_keeps_it_open(esp: LoopbackESP) -> None:
    record(20)
    esp.fault = lambda number: None if number % 5 == 0 else 503
    drain()
    assert (esp.requests, lane().reason) == (20, "")


def test_a_closed_lane_is_tried_with_one_message_that_has_not_had_its_attempt(esp: LoopbackESP) -> None:
    record(8)
    esp.fault = 503
    drain()
    for _ in range(30):  # An outage of a quarter of an hour must not use up anybody's twelve attempts.
        time_passes()
        drain()
    assert esp.requests == 5 + 30
    assert set(EmailLog.objects.values_list("state", flat=True)) <= {"queued", "retrying"}
    assert max(EmailLog.objects.values_list("attempts", flat=True)) == 1


def test_it_opens_by_itself_and_everything_goes_out_once(esp: LoopbackESP) -> None:
    record(10)
    esp.fault = 503
    drain()
    esp.fault = None
    time_passes()
    drain()
    assert (len(esp.refs), len(set(esp.refs)), lane().reason) == (10, 10, "")


def test_a_provider_that_hangs_costs_five_doubts_and_its_trials_none(esp: LoopbackESP, settings: Any) -> None:
    settings.ANYMAIL = {**settings.ANYMAIL, "REQUESTS_TIMEOUT": 0.2}
    esp.fault = "hang"
    record(10)
    drain()
    assert EmailLog.objects.filter(state=State.IN_DOUBT).count() == 5
    for _ in range(3):
        time_passes()
        drain()
    assert EmailLog.objects.filter(state=State.IN_DOUBT).count() == 5
    esp.fault = None
    time_passes()
    drain()
    assert EmailLog.objects.filter(state=State.SENT).count() == 5


def test_refused_settings_close_it_at_once_and_burn_nothing(esp: LoopbackESP, caplog: Any) -> None:
    record(10)
    esp.fault = 401
    with caplog.at_level(logging.ERROR, "emails"):
        drain()
        time_passes()
        drain()
    assert (esp.requests, lane().reason) == (2, "configuration")
    assert max(EmailLog.objects.values_list("attempts", flat=True)) == 0
    assert len(caplog.records) == 1
    esp.fault = None
    time_passes()
    drain()
    assert len(esp.refs) == 10


@pytest.mark.parametrize("as_date", [False, True])
def test_too_many_requests_are_obeyed_by_all_and_burn_nothing(esp: LoopbackESP, as_date: bool) -> None:
    record(5)
    esp.fault = 429
    until = format_datetime(timezone.now() + timedelta(seconds=7), usegmt=True) if as_date else "7"
    esp.headers = {"Retry-After": until}
    drain()
    assert (esp.requests, lane().reason) == (1, "throttled")
    assert timedelta(seconds=5) < lane().closed_until - timezone.now() <= timedelta(seconds=7)  # type: ignore[operator]
    row = EmailLog.objects.get(state=State.RETRYING)
    assert row.attempts == 0
    assert timedelta(seconds=5) < row.run_at - timezone.now() <= timedelta(seconds=7)
    esp.fault = None
    assert drain() == 0
    time_passes()
    drain()
    assert len(esp.refs) == 5


def test_a_rate_is_held_by_permits_that_rest_a_second(esp: LoopbackESP, settings: Any) -> None:
    settings.EMAILS = {**settings.EMAILS, "CONCURRENCY": 4, "RATE_LIMIT": 3.0}
    record(7)
    drain()
    assert len(esp.refs) == 7
    moments = sorted(esp.moments)
    assert all(later - earlier >= 1 for earlier, later in zip(moments, moments[3:], strict=False))
    assert Permit.objects.count() == 3


def test_a_wrong_clock_changes_nothing(esp: LoopbackESP) -> None:
    """A worker whose clock is ten minutes off neither rescues early nor gives up, sends early or waits longer."""
    _held, waiting = record(2)
    EmailLog.objects.claim(1, timedelta(seconds=60))
    force(waiting, state=State.RETRYING, run_at=timezone.now() + timedelta(minutes=5))
    for off in (timedelta(minutes=10), -timedelta(minutes=10), timedelta(hours=30)):
        with time_machine.travel(timezone.now() + off):
            assert rescue.sweep() == 0
            assert drain() == 0
    force(waiting, run_at=timezone.now() - timedelta(seconds=1))
    esp.fault = 503
    with time_machine.travel(timezone.now() + timedelta(hours=30)):
        drain()
    waiting.refresh_from_db()
    assert waiting.state == "retrying"  # not given up as too old
    assert timezone.now() < waiting.run_at < timezone.now() + timedelta(seconds=31)


def test_a_message_that_kills_three_workers_is_given_up_and_drags_no_other_along(esp: LoopbackESP) -> None:
    poison, *others = record(4)
    EmailLog.objects.claim(1, timedelta(seconds=-1))
    rescue.sweep()
    assert [email.pk for email in EmailLog.objects.claim(10, timedelta(seconds=-1))] == [poison.pk]  # taken alone
    rescue.sweep()
    poison.refresh_from_db()
    assert (poison.state, poison.rescues) == ("queued", 2)
    assert timedelta(seconds=25) < poison.run_at - timezone.now() <= rescue.CALM  # others go first
    force(poison, run_at=timezone.now() - timedelta(minutes=1))
    assert [email.pk for email in EmailLog.objects.claim(10, timedelta(seconds=-1))] == [poison.pk]
    rescue.sweep()
    poison.refresh_from_db()
    assert (poison.state, poison.rescues) == ("failed", 3)
    drain()
    assert len(esp.refs) == len(others)


class TestKeys:
    """With Resend, which knows a message again by our key for a day."""

    @pytest.fixture(autouse=True)
    def resend(self, esp: LoopbackESP, settings: Any) -> None:
        settings.EMAILS = {**settings.EMAILS, "PROVIDER": "resend"}
        settings.ANYMAIL = {"RESEND_API_KEY": "key", "RESEND_API_URL": esp.url, "REQUESTS_TIMEOUT": 3}
        esp.body = {"id": "re-1"}

    def test_a_broken_connection_is_tried_again_with_the_same_key_and_bytes(self, esp: LoopbackESP) -> None:
        (email,) = record()
        esp.fault = lambda number: "reset-after" if number < 3 else None
        for _ in range(3):
            drain()
            time_passes()
        email.refresh_from_db()
        assert (email.state, email.attempts, email.doubtful) == ("sent", 3, False)
        assert esp.keys == [str(email.ref)] * 3
        assert len(set(esp.bodies)) == 1

    def test_a_dead_worker_is_no_doubt(self) -> None:
        (email,) = record()
        claimed = EmailLog.objects.claim(1, timedelta(seconds=60))
        EmailLog.objects.fence(claimed, timezone.now(), timedelta(seconds=-1), "resend")
        rescue.sweep()
        email.refresh_from_db()
        assert (email.state, email.doubtful) == ("retrying", True)

    def test_a_key_that_may_be_forgotten_is_not_relied_on(self, esp: LoopbackESP) -> None:
        (email,) = record()
        old = timezone.now() - timedelta(hours=20)
        force(email, state=State.RETRYING, doubtful=True, provider="resend", first_tried_at=old, run_at=Now())
        drain()
        email.refresh_from_db()
        assert (email.state, esp.requests) == ("in_doubt", 0)

    def test_another_provider_does_not_know_the_key(self, esp: LoopbackESP) -> None:
        (email,) = record()
        force(email, state=State.RETRYING, doubtful=True, provider="brevo", first_tried_at=Now(), run_at=Now())
        drain()
        email.refresh_from_db()
        assert (email.state, esp.requests) == ("in_doubt", 0)

    def test_tries_that_come_to_an_end_leave_the_doubt(self, esp: LoopbackESP, settings: Any) -> None:
        settings.EMAILS = {**settings.EMAILS, "MAX_ATTEMPTS": 2}
        (email,) = record()
        esp.fault = "reset-after"
        for _ in range(2):
            drain()
            time_passes()
        email.refresh_from_db()
        assert (email.state, email.attempts) == ("in_doubt", 2)


@pytest.fixture
def code(monkeypatch: pytest.MonkeyPatch) -> EmailKind:
    kind = EmailKind("code", "Code", "Someone signs in", on_doubt="resend")
    monkeypatch.setitem(kinds.KINDS, "code", kind)
    return kind


def test_a_kind_may_rather_be_sent_twice_than_not_at_all(esp: LoopbackESP, code: EmailKind) -> None:
    (email,) = record()
    force(email, kind="code")
    esp.fault = lambda number: "reset-after" if number == 1 else None
    drain()
    time_passes()
    drain()
    email.refresh_from_db()
    assert (email.state, len(esp.accepted)) == ("sent", 2)


def test_a_kind_may_rather_be_in_doubt_than_tried_after_a_servers_error(
    esp: LoopbackESP, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(kinds.KINDS, "once", EmailKind("once", "Once", "Never twice", never_twice=True))
    emails = record(2)
    force(emails[0], kind="once")
    esp.fault = 500
    drain()
    assert list(EmailLog.objects.order_by("pk").values_list("state", flat=True)) == ["in_doubt", "retrying"]


@pytest.mark.parametrize(("rate", "most"), [(0.5, 1), (1.9, 1), (2.5, 2), (14.9, 14), (30.0, 30)])
def test_no_rate_lets_more_leave_in_a_second_than_it_says(rate: float, most: int) -> None:
    assert permits(rate) == most
    assert period(rate) >= timedelta(seconds=1)
    assert permits(rate) / period(rate).total_seconds() <= rate


def test_a_permit_of_a_message_that_never_set_out_is_not_held_for_ever(esp: LoopbackESP, settings: Any) -> None:
    settings.EMAILS = {**settings.EMAILS, "RATE_LIMIT": 1.0}
    record()
    with delivery.Drain(kept_senders(active()), active()) as running:
        running.claim()
        EmailLog.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        rescue.sweep()
        assert running.turn() == (0, 0)
        assert running.gate.permits == {}


def test_a_pause_is_not_waited_for_by_running_on_the_spot(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    record()
    Pause.objects.create(started_by_label="ada", reason="a test")
    runs: list[int] = []
    monkeypatch.setattr(type(tasks.deliver), "enqueue", lambda *args, **kwargs: runs.append(1))
    tasks.deliver.func()
    assert runs == []


def test_what_may_kill_workers_leaves_alone(esp: LoopbackESP, settings: Any) -> None:
    settings.EMAILS = {**settings.EMAILS, "CONCURRENCY": 4}
    emails = record(6)
    for email in emails[2:4]:
        force(email, rescues=1)
    together: list[set[int]] = []
    with delivery.Drain(kept_senders(active()), active()) as running:
        turn = running.turn

        def noting() -> tuple[int, int]:
            together.append({email.pk for email in running.in_hand})
            return turn()

        running.turn = noting  # type: ignore[method-assign]
        running.run(until=time.monotonic() + 5)
    suspects = {email.pk for email in emails[2:4]}
    assert all(len(group) == 1 for group in together if group & suspects)
    assert EmailLog.objects.filter(state=State.SENT).count() == 6


def test_what_only_waited_behind_it_is_not_suspected(settings: Any) -> None:
    """Workers that are all shot must not come back to a queue in which every message has to leave alone."""
    settings.EMAILS = {**settings.EMAILS, "CONCURRENCY": 2}
    emails = record(9)
    for _ in range(2):  # Two workers, with four messages each.
        EmailLog.objects.claim(4, timedelta(seconds=-1))
    sending = EmailLog.objects.filter(pk__in=[emails[0].pk, emails[1].pk])
    sending.update(state=State.SENDING, provider="postmark", first_tried_at=timezone.now())
    assert rescue.sweep() == 8
    suspected = list(EmailLog.objects.filter(rescues=1).order_by("pk").values_list("pk", flat=True))
    assert suspected == [email.pk for email in (*emails[:2], *emails[2:4], *emails[4:6])]
    EmailLog.objects.filter(rescues=1, state=State.QUEUED).update(state=State.CANCELLED)
    together = [email.pk for email in EmailLog.objects.claim(10, timedelta(seconds=60))]
    assert together == [email.pk for email in emails[6:]]


def test_what_passed_those_held_back_is_suspected_with_the_first_of_them(settings: Any) -> None:
    """Mails to one address leave one after the other, and what kills a worker may come right after thirty of them."""
    settings.EMAILS = {**settings.EMAILS, "CONCURRENCY": 2}
    emails = [*record(1), *record(4, "ops@example.com"), *record(1, "q@example.com")]
    EmailLog.objects.claim(6, timedelta(seconds=-1))
    rescue.sweep()
    suspected = set(EmailLog.objects.filter(rescues=1).values_list("pk", flat=True))
    assert suspected == {emails[0].pk, emails[1].pk}
    force(emails[0], state=State.CANCELLED, rescues=0)
    force(emails[1], rescues=0)
    EmailLog.objects.claim(6, timedelta(seconds=-1))
    rescue.sweep()
    suspected = set(EmailLog.objects.filter(rescues=1).values_list("pk", flat=True))
    assert suspected == {emails[1].pk, emails[5].pk}


class Death(BaseException):
    """Of a worker, without a chance to tidy up."""


def test_what_kills_a_worker_takes_no_outcome_of_others_along(
    esp: LoopbackESP, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EMAILS = {**settings.EMAILS, "CONCURRENCY": 2}
    innocent, suspect = record(2)
    force(suspect, rescues=1)

    def dying(emails: list[EmailLog], now: Any) -> list[EmailLog]:
        if suspect in emails:
            raise Death
        return emails

    monkeypatch.setattr(delivery, "mint", dying)
    with pytest.raises(Death):
        delivery.Drain(kept_senders(active()), active()).run(until=time.monotonic() + 5)
    innocent.refresh_from_db()
    assert innocent.state == "sent"
    assert len(esp.refs) == 1


def test_who_is_busy_passes_a_suspect_by() -> None:
    """It would be counted among the deaths of those beside it, and given up without an attempt."""
    first, suspect, last = record(3)
    force(suspect, rescues=1)
    assert EmailLog.objects.claim(10, timedelta(seconds=60), busy=True) == [first, last]
    assert EmailLog.objects.claim(10, timedelta(seconds=60), busy=True) == []
    assert EmailLog.objects.claim(10, timedelta(seconds=60)) == [suspect]


def test_who_is_busy_for_long_stops_for_a_suspect() -> None:
    suspect, *others = record(4)
    force(suspect, rescues=1)
    claims = Claims(active(), timedelta(minutes=5), 1)
    assert claims.take(1, timezone.now(), busy=False) == 1
    assert [email.pk for email in claims.emails] == [suspect.pk]
    claims.release()
    assert [claims.take(1, timezone.now(), busy=True) for _ in range(2)] == [1, 1]
    claims.looked_at -= 2 * PATIENCE
    assert claims.take(1, timezone.now(), busy=True) == 0
    claims.release()
    assert claims.take(1, timezone.now(), busy=False) == 1
    assert [email.pk for email in claims.emails] == [suspect.pk]
    assert EmailLog.objects.filter(state=State.QUEUED).count() == len(others)


def test_an_answer_clears_a_suspect(esp: LoopbackESP) -> None:
    (email,) = record()
    force(email, rescues=2)
    esp.fault = 503
    drain()
    email.refresh_from_db()
    assert (email.state, email.rescues) == ("retrying", 0)


def test_suspects_that_end_without_an_attempt_stop_no_drain(esp: LoopbackESP) -> None:
    emails = record(6)
    for email in emails[:3]:
        force(email, rescues=1, doubtful=True, provider="postmark", first_tried_at=timezone.now())
    drain()
    assert list(EmailLog.objects.order_by("pk").values_list("state", flat=True)) == ["in_doubt"] * 3 + ["sent"] * 3


def test_what_the_database_refuses_of_one_message_holds_up_no_other(
    esp: LoopbackESP, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison, *others = record(4)

    def refused(emails: list[EmailLog], now: Any) -> list[EmailLog]:
        if poison in emails:
            raise DataError("no database takes this")
        return mint(emails, now)

    monkeypatch.setattr(delivery, "mint", refused)
    for _ in range(8):
        with suppress(DataError):
            drain()
        EmailLog.objects.filter(state=State.CLAIMED).update(lease_until=timezone.now() - timedelta(seconds=1))
        rescue.sweep()
        EmailLog.objects.filter(state=State.QUEUED).update(run_at=timezone.now() - timedelta(seconds=1))
    poison.refresh_from_db()
    assert (poison.state, poison.rescues) == ("failed", 3)
    assert len(esp.refs) == len(others)


def test_a_third_rescue_of_what_may_have_left_is_a_doubt() -> None:
    (email,) = record()
    force(email, rescues=2)
    claimed = EmailLog.objects.claim(1, timedelta(seconds=60))
    EmailLog.objects.fence(claimed, timezone.now(), timedelta(seconds=-1), "postmark")
    rescue.sweep()
    email.refresh_from_db()
    assert email.state == "in_doubt"


def test_the_five_that_close_a_lane_have_had_their_attempt(esp: LoopbackESP) -> None:
    record(5)
    esp.fault = 503
    drain()
    assert list(EmailLog.objects.values_list("attempts", flat=True)) == [1] * 5


def test_late_failures_do_not_put_the_next_trial_off(esp: LoopbackESP, settings: Any) -> None:
    settings.EMAILS = {**settings.EMAILS, "CONCURRENCY": 8}
    settings.ANYMAIL = {**settings.ANYMAIL, "REQUESTS_TIMEOUT": 0.2}
    esp.fault = "hang"
    record(8)
    drain()
    assert lane().probe_seconds == 30


def test_a_trial_that_can_not_be_made_does_not_use_up_the_right(esp: LoopbackESP) -> None:
    stale, waiting = record(2)
    force(stale, state=State.RETRYING, doubtful=True, provider="resend", run_at=timezone.now() - timedelta(hours=1))
    Lane.objects.create(key="postmark", reason="failing", failures=5, closed_until=timezone.now())
    for _ in range(2):
        drain()
    waiting.refresh_from_db()
    stale.refresh_from_db()
    assert (stale.state, waiting.state) == ("in_doubt", "sent")


def test_a_pause_holds_what_is_claimed_already(esp: LoopbackESP) -> None:
    record(4)
    with delivery.Drain(kept_senders(active()), active()) as running:
        running.claim()
        Pause.objects.create(started_by_label="ada", reason="a test")
        running.gate.looked_at -= 1
        assert running.turn() == (0, 0)
    assert esp.requests == 0
    assert set(EmailLog.objects.values_list("state", flat=True)) == {"queued"}


@pytest.mark.parametrize("status", [429, 401, 503])
def test_a_backlog_that_is_old_has_its_tries_all_the_same(esp: LoopbackESP, status: int) -> None:
    """After a weekend's pause one refusal must not lose everything that waited."""
    record(3)
    EmailLog.objects.update(created_at=timezone.now() - timedelta(hours=60))
    esp.fault = status
    drain()
    assert set(EmailLog.objects.values_list("state", flat=True)) <= {"queued", "retrying"}


def test_attachments_that_can_not_be_read_now_leave_no_doubt(esp: LoopbackESP, monkeypatch: pytest.MonkeyPatch) -> None:
    message = EmailMessage("s", "b", to=["a@example.com"], attachments=[("a.txt", "text", "text/plain")])
    message.send()
    prefetch, failures = delivery.prefetch_related_objects, iter([OperationalError("gone")])  # type: ignore[attr-defined]

    def flaky(*args: Any) -> None:
        for failure in failures:
            raise failure
        prefetch(*args)

    monkeypatch.setattr(delivery, "prefetch_related_objects", flaky)
    with pytest.raises(OperationalError):
        drain()
    assert EmailLog.objects.get().state in {"queued", "retrying"}
    drain()
    assert (EmailLog.objects.get().state, len(esp.refs)) == ("sent", 1)


def test_recipients_that_are_deferred_do_not_close_the_lane(sink: SMTPSink) -> None:
    record(8)
    sink.refuse = {f"p{n}@example.com": "451 greylisted, come back later" for n in range(8)}
    drain()
    assert set(EmailLog.objects.values_list("state", "attempts")) == {("retrying", 1)}
    assert Lane.objects.get(key="smtp").reason == ""


def test_a_worker_that_slept_through_the_closing_tries_with_one_message(esp: LoopbackESP, settings: Any) -> None:
    settings.EMAILS = {**settings.EMAILS, "CONCURRENCY": 4}
    record(4)
    with delivery.Drain(kept_senders(active()), active()) as running:
        running.claim()
        Lane.objects.update(reason="failing", failures=5, closed_until=timezone.now() - timedelta(seconds=1))
        running.gate.looked_at -= 60
        running.turn()
        assert len(running.flying) == 1


def test_a_database_that_is_away_at_the_look_costs_no_message(
    esp: LoopbackESP, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(2)
    with delivery.Drain(kept_senders(active()), active()) as running:
        running.claim()
        with monkeypatch.context() as patch, pytest.raises(OperationalError):
            patch.setattr(Lane, "look", classmethod(lambda cls, key: (_ for _ in ()).throw(OperationalError("gone"))))
            running.gate.looked_at -= 60
            running.turn()
    assert set(EmailLog.objects.values_list("state", flat=True)) == {"queued"}


def test_brevo_finds_our_key_among_the_messages_headers(esp: LoopbackESP, settings: Any) -> None:
    settings.EMAILS = {**settings.EMAILS, "PROVIDER": "brevo"}
    settings.ANYMAIL = {"BREVO_API_KEY": "key", "BREVO_API_URL": esp.url, "REQUESTS_TIMEOUT": 3}
    esp.body = {"messageId": "<1@brevo.example>"}
    (email,) = record()
    drain()
    email.refresh_from_db()
    assert email.state == "sent"
    assert esp.accepted[0]["headers"]["idempotencyKey"] == str(email.ref)
