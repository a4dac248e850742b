"""What an attacker tried against reports, redirect and suppression, one test a finding."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from anymail.message import AnymailMessage
from django.core.mail import EmailMessage
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone

from emails import delivery, orphans
from emails.models import EmailEvent, EmailLog, Lane, Suppression
from emails.providers import PROVIDERS
from emails.signing import hexdigest, post
from emails.wording import scrub
from tests.esp import LoopbackESP
from tests.log import force
from tests.webhooks import SITE, configure, environment, event, report, send

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("asleep")]


@pytest.fixture(autouse=True)
def postmark(esp: LoopbackESP, settings: Any) -> None:
    configure(settings, **environment("postmark", esp.url), EMAIL_CONCURRENCY="1")


def record(*to: str, **options: Any) -> EmailLog:
    message = EmailMessage("s", "b", to=list(to) or ["linus@example.com"], **options)
    message.send()
    email: EmailLog = message.email_log  # type: ignore[attr-defined]
    return email


def sent(*to: str, provider: str = "postmark", **columns: Any) -> EmailLog:
    email = record(*to)
    facts = {"state": "sent", "provider": provider, "message_id": f"m-{email.pk}", "first_tried_at": timezone.now()}
    force(email, **{**facts, **columns})
    email.recipients.update(message_id=f"m-{email.pk}")
    email.refresh_from_db()
    return email


def status(email: EmailLog) -> tuple[str, str]:
    email.refresh_from_db()
    return email.state, email.delivery


def test_proof_counts_for_an_attempt_on_trial_too(esp: LoopbackESP) -> None:
    """Such an attempt is not counted, and may have been accepted all the same."""
    Lane.look("postmark")
    Lane.objects.update(reason="failing", failures=5, closed_until=Now())
    email = record()
    esp.fault = 500
    delivery.drain(seconds=5)
    email.refresh_from_db()
    assert (email.state, email.attempts) == ("retrying", 0)
    report("postmark", event("postmark", email, "delivered", message_id="pm"))
    assert status(email) == ("sent", "delivered")
    EmailLog.objects.update(run_at=Now())
    Lane.objects.update(closed_until=Now())
    before = esp.requests
    delivery.drain(seconds=5)
    assert esp.requests == before


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_doubt_about_two_ends_the_same_whoever_is_reported_first(order: tuple[int, int]) -> None:
    email = sent("ada@example.com", "linus@example.com", state="in_doubt")
    refused = event("postmark", email, "bounced", to="ada@example.com") | {"Type": "Blocked"}
    said = [refused, event("postmark", email, "delivered", to="linus@example.com")]
    for number in order:
        report("postmark", said[number])
    assert status(email) == ("sent", "rejected")


class TestMailgunsToken:
    path = "/anymail/mailgun/tracking/"

    def test_its_first_characters_can_not_become_the_end_of_the_time(self, settings: Any) -> None:
        configure(settings, **environment("mailgun"))
        victim = sent(provider="mailgun")
        now = str(int(time.time()))
        token = "e0" + "a" * 48
        signature = hexdigest(b"mailgun_api_key-value", f"{now}{token}".encode())
        shifted = {"timestamp": f"{now}e0", "token": token[2:], "signature": signature}
        body = json.dumps({**event("mailgun", victim, "bounced"), "signature": shifted}).encode()
        assert send(Client(), self.path, body, {}).status_code == 403
        assert status(victim) == ("sent", "")

    @pytest.mark.parametrize("first", [{"event": "list_member_uploaded"}, {"event": 7}, {}])
    def test_it_is_used_up_by_what_nobody_wants_to_know(self, first: dict[str, Any], settings: Any) -> None:
        configure(settings, **environment("mailgun"))
        victim = sent(provider="mailgun")
        made = post(PROVIDERS["mailgun"], [{"event-data": {**first, "id": "x"}}], SITE + self.path)
        assert send(Client(), self.path, made.body, made.headers).status_code in {200, 400}
        forged = {**json.loads(made.body), **event("mailgun", victim, "bounced")}
        assert send(Client(), self.path, json.dumps(forged).encode(), made.headers).status_code == 400
        assert status(victim) == ("sent", "")
        assert not Suppression.objects.exists()


def test_a_domain_in_another_script_is_the_one_that_providers_report(esp: LoopbackESP) -> None:
    esp.body = {"ErrorCode": 0, "Message": "OK", "MessageID": "pm", "To": "eve@xn--exmple-cua.com"}
    email = record("Eve <eve@exämple.com>")
    delivery.drain(seconds=5)
    recipient = email.recipients.get()
    assert (recipient.message_id, recipient.formatted) == ("pm", "Eve <eve@exämple.com>")
    report("postmark", event("postmark", email, "bounced", to="eve@xn--exmple-cua.com"))
    assert record("eve@EXÄMPLE.com").state == "suppressed"


class TestRedirect:
    @pytest.fixture(autouse=True)
    def redirected(self, esp: LoopbackESP, settings: Any) -> None:
        leaking = {"POSTMARK_SEND_DEFAULTS": '{"bcc": ["archive@real.example"], "tags": ["staging"]}'}
        configure(settings, **environment("postmark", esp.url), **leaking, EMAIL_REDIRECT_TO="staging@exämple.org")

    def test_nothing_that_reaches_the_api_names_anybody_else(self, esp: LoopbackESP) -> None:
        headers = {"Cc": "a@real.example", "Resent-To": "b@real.example", "X-Kept": "yes"}
        message = AnymailMessage("s", "b", to=["c@real.example"], headers=headers)
        message.esp_extra = {"To": "d@real.example", "Bcc": "e@real.example"}
        message.send()
        delivery.drain(seconds=5)
        (posted,) = esp.accepted
        kept = [header for header in posted["Headers"] if header["Name"] != "X-Original-Recipients"]
        assert "real.example" not in json.dumps({**posted, "Headers": kept})
        assert (posted["To"], posted["Tag"]) == ("staging@xn--exmple-cua.org", "staging")
        assert {"Name": "X-Kept", "Value": "yes"} in kept
        assert EmailLog.objects.get().recipients.get().message_id.startswith("pm-")


def test_long_words_of_strangers_take_no_time() -> None:
    email = sent()
    began = time.process_time()
    scrub("x" * 900_000)
    said = event("postmark", email, "opened") | {"UserAgent": "x" * 600_000}
    assert report("postmark", said).status_code == 200
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("said", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"])
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Lima"])
def test_a_time_at_the_end_of_the_calendar_breaks_no_page(
    said: str, zone: str, settings: Any, admin_client: Client
) -> None:
    settings.TIME_ZONE = zone
    email = sent()
    told = event("postmark", email, "delivered") | {"DeliveredAt": said}
    assert report("postmark", told, client=Client(raise_request_exception=False)).status_code in {200, 400}
    report("postmark", event("postmark", email, "bounced"))
    assert status(email)[1] == "bounced"  # It does not have the last word for ever.
    assert admin_client.get(email.get_absolute_url()).status_code == 200


@pytest.mark.parametrize(
    ("key", "changed"),
    [
        ("mailgun", {"event-data": {"reason": "suppress-complaint"}}),
        ("amazon_ses", {"bounce": {"bounceSubType": "OnAccountSuppressionList"}}),
    ],
)
def test_what_only_stands_on_the_providers_list_has_not_bounced(
    key: str, changed: dict[str, dict[str, Any]], settings: Any
) -> None:
    configure(settings, **environment(key))
    Suppression.objects.create(address="linus@example.com", reason="complained")
    Suppression.objects.update(lifted_at=timezone.now())
    email = sent(provider=key)
    said = event(key, email, "bounced", at=datetime.now(UTC))
    inner = json.loads(said["Message"]) if key == "amazon_ses" else said
    for name, more in changed.items():
        inner[name] = {**inner[name], **more}
    assert report(key, {**said, "Message": json.dumps(inner)} if key == "amazon_ses" else inner).status_code == 200
    assert not Suppression.objects.filter(lifted_at=None).exists()


def test_a_bounce_of_before_the_lifting_makes_nothing_worse() -> None:
    old = Suppression.objects.create(address="linus@example.com", reason="bounced")
    old.lift("Ada", "mended")
    report("postmark", event("postmark", sent(), "complained", at=timezone.now() + timedelta(seconds=2)))
    report("postmark", event("postmark", sent(), "bounced", at=timezone.now() - timedelta(days=1)))
    assert Suppression.objects.get(lifted_at=None).reason == "complained"


def test_an_address_that_stands_twice_gets_one_copy_and_one_fate() -> None:
    email = record("ada@example.com", cc=["Ada <ada@example.com>"])
    force(email, state="sent", provider="postmark", first_tried_at=timezone.now())
    report("postmark", event("postmark", email, "delivered"))
    assert status(email) == ("sent", "delivered")


def test_a_link_that_is_none_costs_no_click() -> None:
    email = sent(state="in_doubt")
    report("postmark", event("postmark", email, "clicked") | {"OriginalLink": "http://[bad"})
    assert email.recipients.get().click_count == 1
    assert status(email)[0] == "sent"


def test_another_provider_does_not_send_what_may_have_left(esp: LoopbackESP) -> None:
    email = record()
    force(email, state="retrying", uncertain=True, provider="resend", attempts=1, first_tried_at=timezone.now())
    EmailLog.objects.update(run_at=Now())
    delivery.drain(seconds=5)
    assert esp.requests == 0
    assert status(email)[0] == "in_doubt"


def test_a_thousand_reports_of_others_do_not_hide_one_of_ours() -> None:
    email = sent()
    ours = {"type": "delivered", "provider": "postmark", "reported": True, "detail": {"to": "linus@example.com"}}
    EmailEvent.objects.create(**ours, message_id=email.message_id, dedupe_key="ours")
    others = [EmailEvent(**ours, message_id=f"theirs-{n}", dedupe_key=f"theirs-{n}") for n in range(1001)]
    EmailEvent.objects.bulk_create(others)
    assert orphans.adopt("postmark") == 1
    assert status(email) == ("sent", "delivered")


def test_odd_reasons_and_odd_providers_break_no_page(admin_client: Client, settings: Any) -> None:
    one = Suppression.objects.create(address="linus@example.com", reason="bounced")
    assert admin_client.post(f"/admin/emails/suppression/{one.pk}/lift/", {"reason": "a\x00b"}).status_code == 302
    assert admin_client.post("/admin/emails/lane/pause/", {"reason": "a\x00b"}).status_code == 302
    settings.EMAILS = {**settings.EMAILS, "PROVIDER": "postmrak", "FALLBACK": "postmark"}
    assert admin_client.get("/admin/emails/health/").status_code == 200
