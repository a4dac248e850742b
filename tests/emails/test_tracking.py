"""Reports find their message, are kept once, and settle what nobody could know before."""

import copy
import json
import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.mail import EmailMessage
from django.test import Client
from django.utils import timezone

from emails import delivery, orphans, recording, rescue, sweeper
from emails.models import EmailEvent, EmailLog, Suppression
from emails.signals import email_failed, email_sent, email_status_changed
from tests.conftest import Commit
from tests.esp import LoopbackESP
from tests.examples import examples
from tests.log import force
from tests.webhooks import EVENTS, NOON, REPORTING, configure, environment, event, report

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("asleep")]


@pytest.fixture(autouse=True)
def postmark(settings: Any) -> None:
    configure(settings, **environment("postmark"))


def record(*to: str, **columns: Any) -> EmailLog:
    message = EmailMessage("s", "b", to=list(to) or ["linus@example.com"])
    message.send()
    email: EmailLog = message.email_log  # type: ignore[attr-defined]
    if columns:
        force(email, **{"provider": "postmark", "attempts": 1, "first_tried_at": timezone.now(), **columns})
    email.refresh_from_db()
    return email


def sent(*to: str, provider: str = "postmark", message_id: str = "m-1") -> EmailLog:
    email = record(*to, state="sent", provider=provider, message_id=message_id)
    email.recipients.update(message_id=message_id)
    return email


def told(email: EmailLog, kind: str, **facts: Any) -> Any:
    return report("postmark", event("postmark", email, kind, **facts))


def status(email: EmailLog) -> str:
    email.refresh_from_db()
    return email.status


class TestFinding:
    @pytest.mark.parametrize(
        "spelt", ["linus@example.com", "LINUS@Example.com", "Linus <linus@example.com>", None, "linus@other.example"]
    )
    def test_the_one_recipient_is_meant_however_he_is_spelt(self, spelt: str | None) -> None:
        email = sent()
        assert told(email, "delivered", to=spelt).status_code == 200
        assert (status(email), email.recipients.get().delivery) == ("delivered", "delivered")

    def test_by_the_providers_id_where_our_reference_is_missing(self) -> None:
        email = sent("linus@example.com", "ada@example.com")
        told(email, "bounced", ref="", to="ADA@example.com")
        assert dict(email.recipients.values_list("address", "delivery")) == {
            "linus@example.com": "",
            "ada@example.com": "bounced",
        }
        assert status(email) == "bounced"

    def test_an_id_of_another_provider_is_not_ours(self) -> None:
        email = sent(provider="resend")
        told(email, "bounced", ref="")
        assert status(email) == "sent"

    def test_of_several_messages_with_one_id_it_is_the_one_to_this_recipient(self) -> None:
        first, second = sent("linus@example.com"), sent("ada@example.com")
        told(second, "delivered", ref="")
        assert (status(first), status(second)) == ("sent", "delivered")

    def test_a_recipient_who_is_none_of_several_is_told_of_by_the_timeline_alone(self) -> None:
        email = sent("linus@example.com", "ada@example.com")
        told(email, "bounced", to="eve@example.com")
        assert status(email) == "sent"
        assert email.events.filter(type="bounced", recipient=None).count() == 1


class TestOrphans:
    def test_a_report_that_outruns_our_commit_loses_nothing(self, esp: LoopbackESP) -> None:
        email = record()
        configure_for(esp)
        assert told(email, "delivered", ref="", message_id="pm-1").status_code == 200
        assert EmailEvent.objects.get(reported=True).email is None
        delivery.drain(seconds=5)
        assert (status(email), email.message_id) == ("delivered", "pm-1")

    def test_the_sweeper_finds_what_came_between_the_look_and_the_commit(self) -> None:
        email = record()
        told(email, "bounced", ref="", message_id="late", to="linus@example.com")
        force(email, state="sent", provider="postmark", message_id="late", attempts=1)
        email.recipients.update(message_id="late")
        sweeper.turn()
        assert status(email) == "bounced"
        orphan = EmailEvent.objects.get(reported=True)
        assert (orphan.recipient, "to" in orphan.detail) == (email.recipients.get(), False)

    def test_it_is_forgotten_after_a_week(self) -> None:
        email = record()
        told(email, "delivered", ref="", message_id="somebody else's")
        orphans.forget()
        assert EmailEvent.objects.filter(email=None).count() == 1
        EmailEvent.objects.filter(email=None).update(recorded_at=timezone.now() - timedelta(days=8))
        orphans.forget()
        assert EmailEvent.objects.filter(email=None).count() == 0


def configure_for(esp: LoopbackESP) -> None:
    settings.ANYMAIL = {**settings.ANYMAIL, "POSTMARK_API_URL": esp.url, "WEBHOOK_SECRET": "user:pass word#1"}


class TestProof:
    @pytest.mark.parametrize("kind", ["delivered", "bounced", "opened", "clicked", "complained", "deferred"])
    @pytest.mark.parametrize("state", ["in_doubt", "retrying", "failed", "claimed"])
    def test_a_report_proves_that_it_was_accepted(self, state: str, kind: str) -> None:
        email = record(state=state, error="x")
        told(email, kind)
        email.refresh_from_db()
        assert (email.state, email.sent_at) == ("sent", NOON)
        assert email.events.filter(type="sent", reported=False).count() == 1
        assert delivery.drain(seconds=1)[0] == 0  # nothing is sent a second time

    def test_what_was_never_tried_is_not_proved(self) -> None:
        email = record()
        told(email, "delivered")
        email.refresh_from_db()
        assert email.state == "queued"

    def test_a_refusal_ends_the_doubt_as_well(self) -> None:
        email = record(state="in_doubt")
        said = event("postmark", email, "bounced") | {"Type": "Blocked"}
        report("postmark", said)
        email.refresh_from_db()
        assert (email.state, email.delivery) == ("failed", "rejected")
        told(email, "delivered", at=NOON + timedelta(minutes=1))  # It was on its way to another list.
        email.refresh_from_db()
        assert (email.state, email.delivery) == ("sent", "delivered")

    def test_what_staff_have_cancelled_stays_so(self) -> None:
        email = record(state="cancelled")
        told(email, "delivered")
        email.refresh_from_db()
        assert (email.state, email.status) == ("cancelled", "delivered")

    def test_it_stops_a_rescue(self) -> None:
        email = record(state="sending", lease_until=timezone.now() - timedelta(minutes=5))
        told(email, "opened")
        email.refresh_from_db()
        assert email.state == "sending"
        rescue.sweep()
        email.refresh_from_db()
        assert email.state == "sent"

    def test_a_lying_error_is_not_tried_again(self, esp: LoopbackESP) -> None:
        """The provider answers 500 after it has accepted, and its report is quicker than the answer is written."""
        email = record()
        configure_for(esp)
        told(email, "delivered")
        esp.fault = 500
        delivery.drain(seconds=5)
        assert status(email) == "delivered"
        assert email.state == "sent"


class TestOnce:
    @pytest.mark.parametrize("key", REPORTING)
    def test_each_twice_and_in_any_order_comes_to_the_same(self, key: str, settings: Any) -> None:
        configure(settings, **environment(key))
        kinds = sorted(EVENTS[key])
        fates = []
        for seed in range(6):
            email = sent(f"p{seed}@example.com", provider=key, message_id=f"{seed}")
            events = [
                event(key, email, kind, at=NOON + timedelta(minutes=n), event_id=f"e-{seed}-{n}")
                for n, kind in enumerate(kinds)
            ]
            posted = events * 2
            random.Random(seed).shuffle(posted)
            for one in posted:
                assert report(key, one).status_code == 200
            email.refresh_from_db()
            recipient = email.recipients.get()
            names = ("delivery", "delivery_at", "open_count", "click_count", "first_opened_at", "last_clicked_at")
            fates.append((email.delivery, *(getattr(recipient, name) for name in names)))
            assert email.events.filter(reported=True).count() == len(kinds)
        (fate,) = set(fates)
        last = max((kind for kind in kinds if kind in {"delivered", "bounced"}), key=kinds.index)
        delivery = "complained" if "complained" in kinds else last
        minutes = {kind: NOON + timedelta(minutes=n) for n, kind in enumerate(kinds)}
        opens, clicks = int("opened" in kinds), int("clicked" in kinds)
        assert fate == (
            *(delivery, delivery, minutes[delivery], opens, clicks),
            *(minutes.get("opened"), minutes.get("clicked")),
        )

    def test_a_bad_one_does_not_cost_the_good_ones(self, settings: Any) -> None:
        configure(settings, **environment("sendgrid"))
        emails = [sent(f"p{n}@example.com", provider="sendgrid", message_id=f"m-{n}") for n in range(3)]
        good = [event("sendgrid", email, "delivered") for email in emails]
        odd: list[Any] = [None, 7, {"event": "bounce"}, {**good[0], "timestamp": "x"}, {**good[0], "email": {}}]
        assert report("sendgrid", *odd, *good).status_code == 200
        assert [status(email) for email in emails] == ["delivered"] * 3
        assert EmailEvent.objects.filter(reported=True).count() == 3

    def test_a_batch_costs_a_bounded_number_of_queries(self, settings: Any, django_assert_max_num_queries: Any) -> None:
        configure(settings, **environment("sendgrid"))
        emails = recording.record([EmailMessage("s", "b", None, [f"p{n}@example.com"]) for n in range(1000)])
        EmailLog.objects.update(attempts=1, provider="sendgrid")
        events = [
            {"event": "bounce", "type": "bounce", "email": f"p{n}@example.com", "timestamp": 1764000000 + n}
            | {"sg_event_id": f"e-{n}", "anymail_id": f"m-{n}", "ref": str(email.ref)}
            for n, email in enumerate(emails)
        ]
        with django_assert_max_num_queries(50):
            assert report("sendgrid", *events).status_code == 200
        assert EmailLog.objects.filter(delivery="bounced").count() == 1000


class TestMutations:
    """Twenty ways to spoil each sample: none is an error of ours, none leaves a row."""

    @pytest.mark.parametrize("key", REPORTING)
    def test_twenty_of_each(self, key: str, settings: Any) -> None:
        configure(settings, **environment(key))
        email = sent(provider=key, message_id="m")
        client = Client(raise_request_exception=False)
        for kind in examples(("bounced",), tuple(EVENTS[key])):
            sample = event(key, email, kind)
            for number, spoilt in enumerate(mutations(key, sample)):
                answer = report(key, spoilt, client=client)
                assert answer.status_code in {200, 400, 403}, (number, spoilt)
                assert not EmailEvent.objects.filter(reported=True).exists(), (kind, number, spoilt)
            assert number >= 19

    @pytest.mark.parametrize("key", REPORTING)
    def test_odd_values_anywhere_are_no_error_of_ours(self, key: str, settings: Any, admin_client: Client) -> None:
        configure(settings, **environment(key))
        email = sent(provider=key, message_id="m")
        client = Client(raise_request_exception=False)
        for kind in examples(("bounced",), tuple(EVENTS[key])):
            for spoilt in spoilt_leaves(event(key, email, kind)):
                answer = report(key, spoilt, client=client)
                assert answer.status_code in {200, 400, 403}, spoilt
        assert admin_client.get(email.get_absolute_url()).status_code == 200
        assert admin_client.get("/admin/emails/suppression/").status_code == 200


ODD: list[Any] = [None, True, [], {}, ["x"], {"x": 1}, 10**30, -1, 1e400, "", "\x00", "x" * 5000, "\ud800", "http://[x"]
ODD += ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "=?utf-8?q?=0A?= <a@b>"]


def spoilt_leaves(sample: Any, path: tuple[Any, ...] = ()) -> Iterator[Any]:
    """The sample with each of its values, however deep, replaced by each odd one."""
    for at in leaves(sample):
        for value in examples(ODD[::3], ODD):
            spoilt = copy.deepcopy(sample)
            inner = spoilt
            for name in at[:-1]:
                inner = inner[name]
            inner[at[-1]] = value
            yield spoilt


def leaves(value: Any) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        deeper = [(name, *rest) for rest in leaves(inner)]
        yield from deeper or [(name,)]


def mutations(key: str, sample: dict[str, Any]) -> Iterator[Any]:
    """What is no report any more: its type or its message gone, or of a type that no report has."""
    if key == "amazon_ses":  # The event is a text within the notification.
        inner = json.loads(sample["Message"])
        for spoilt in mutations("", inner):
            yield {**sample, "Message": json.dumps(spoilt)}
        return
    yield from ([], {}, None, 0, "", [sample], {"x": sample}, json.dumps(sample), True, [[]])
    kinds = TYPE_AT.get(key, TYPE_AT[""])
    for value in (None, 7, [], {}, "no such event", "\x00", 1e300, ["x"], {"x": 1}, True, "é" * 500):
        spoilt = json.loads(json.dumps(sample))
        at: Any = spoilt
        for name in kinds[:-1]:
            at = at[next(iter(at))] if name == "*" else at[name]
        at[kinds[-1]] = value
        if kinds[-1] == "RecordType" and "Type" in at:
            at["Type"] = value
        yield spoilt


TYPE_AT: dict[str, list[str]] = {
    "": ["eventType"],
    "brevo": ["event"],
    "mailersend": ["data", "type"],
    "mailgun": ["event-data", "event"],
    "mailjet": ["event"],
    "mailtrap": ["event"],
    "mandrill": ["event"],
    "postal": ["payload"],
    "postmark": ["RecordType"],
    "resend": ["type"],
    "sendgrid": ["event"],
    "sparkpost": ["msys", "*", "type"],
    "unisender_go": ["status"],
}


class TestSignals:
    def test_other_code_hears_of_what_is_sent_and_of_what_becomes_of_it(self, esp: LoopbackESP, commit: Commit) -> None:
        heard: list[Any] = []

        def listen(signal: Any, **facts: Any) -> None:
            heard.append((facts["email"].pk, facts.get("old"), facts.get("new"), facts["email"].status))

        def break_down(**facts: Any) -> None:
            raise RuntimeError("s3cr3t")

        configure_for(esp)
        for signal in (email_sent, email_failed, email_status_changed):
            signal.connect(listen)
            signal.connect(break_down)
        try:
            with commit():
                email = record()
                delivery.drain(seconds=5)
            with commit():
                told(email, "delivered", message_id="pm-1")
                told(email, "opened", message_id="pm-1")  # changes nothing that staff read
            with commit():
                doubt = record("eve@example.com", state="in_doubt")
                told(doubt, "delivered", message_id="pm-9")
            with commit():
                Suppression.objects.create(address="bob@example.com", reason="bounced")
                barred = record("bob@example.com")
            with commit():
                esp.fault = 422
                other = record("ada@example.com")
                delivery.drain(seconds=5)
        finally:
            for signal in (email_sent, email_failed, email_status_changed):
                signal.disconnect(listen)
                signal.disconnect(break_down)
        assert heard == [
            (email.pk, None, None, "sent"),
            (email.pk, "sent", "delivered", "delivered"),
            (doubt.pk, None, None, "delivered"),
            (doubt.pk, "in_doubt", "delivered", "delivered"),
            (barred.pk, None, None, "suppressed"),
            (other.pk, None, None, "failed"),
        ]


def test_what_a_report_proves_has_not_failed(esp: LoopbackESP, commit: Commit) -> None:
    """The provider refuses with an error what it has accepted, and its report is there before the error is written."""
    heard: list[str] = []

    def listen(signal: Any, email: EmailLog, **facts: Any) -> None:
        heard.append("sent" if signal is email_sent else "failed")

    configure_for(esp)
    with commit():
        email = record()
        told(email, "delivered")
    esp.fault = 422
    for signal in (email_sent, email_failed):
        signal.connect(listen)
    try:
        with commit():
            delivery.drain(seconds=5)
    finally:
        for signal in (email_sent, email_failed):
            signal.disconnect(listen)
    email.refresh_from_db()
    assert (email.state, heard) == ("sent", ["sent"])


def test_a_link_that_was_clicked_is_kept_by_its_host_alone() -> None:
    email = sent()
    said = event("postmark", email, "clicked") | {"OriginalLink": "https://example.com/reset/MQ/s3cr3t-token/?x=s3cr3t"}
    report("postmark", said)
    (entry,) = email.events.filter(type="clicked")
    assert entry.detail["link"] == "example.com"
    assert "s3cr3t" not in json.dumps(entry.detail)


def test_a_recipient_whom_the_answer_refuses_counts_as_reported(esp: LoopbackESP, settings: Any) -> None:
    configure(settings, **environment("mandrill", esp.url))
    esp.body = [
        {"email": "linus@example.com", "status": "sent", "_id": "1"},
        {"email": "ada@example.com", "status": "rejected", "_id": "2", "reject_reason": "hard-bounce"},
    ]
    email = record("linus@example.com", "ada@example.com")
    delivery.drain(seconds=5)
    email.refresh_from_db()
    assert (email.state, email.status) == ("sent", "rejected")
    assert report("mandrill", event("mandrill", email, "delivered")).status_code == 200
    email.refresh_from_db()
    assert dict(email.recipients.values_list("address", "delivery")) == {
        "linus@example.com": "delivered",
        "ada@example.com": "rejected",
    }
    assert email.status == "rejected"
