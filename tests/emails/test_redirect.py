"""On a staging site everything goes to one address, whatever it says, and the log keeps who was meant."""

from typing import Any, cast

import pytest
from anymail.message import AnymailMessage
from django.core.mail import EmailMessage
from django.test import Client

from accounts.models import User
from emails import delivery
from emails.models import EmailLog
from tests.esp import LoopbackESP
from tests.sink import SMTPSink
from tests.webhooks import configure, environment, event, report

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("asleep")]
STAGING = "Staging@example.org"


@pytest.fixture
def redirected(esp: LoopbackESP, settings: Any) -> None:
    configure(settings, **environment("postmark", esp.url), EMAIL_REDIRECT_TO=STAGING)


@pytest.mark.usefixtures("redirected")
def test_every_recipient_is_rewritten_and_kept_in_a_header_and_in_the_log(esp: LoopbackESP) -> None:
    EmailMessage("s", "b", to=["Linus <linus@example.com>"], cc=["ada@example.com"], bcc=["eve@exämple.com"]).send()
    delivery.drain(seconds=5)
    (posted,) = esp.accepted
    assert (posted["To"], posted.get("Cc"), posted.get("Bcc")) == (STAGING, None, None)
    headers = {header["Name"]: header["Value"] for header in posted["Headers"]}
    assert headers["X-Original-Recipients"] == "linus@example.com, ada@example.com, eve@xn--exmple-cua.com"
    email = EmailLog.objects.get()
    assert email.state == "sent"
    assert list(email.recipients.values_list("address", flat=True)) == [
        *("linus@example.com", "ada@example.com", "eve@xn--exmple-cua.com"),
    ]
    assert email.events.get().detail["redirected"] == STAGING
    assert {recipient.message_id for recipient in email.recipients.all()} == {email.message_id}


@pytest.mark.usefixtures("redirected")
def test_a_bounce_of_the_staging_address_is_held_against_nobody() -> None:
    EmailMessage("s", "b", to=["linus@example.com"]).send()
    delivery.drain(seconds=5)
    email = EmailLog.objects.get()
    report("postmark", event("postmark", email, "bounced", to=STAGING))
    email.refresh_from_db()
    assert email.status == "bounced"
    EmailMessage("s", "b", to=["ada@example.com", "eve@example.com"]).send()
    delivery.drain(seconds=5)
    several = EmailLog.objects.latest("pk")
    report("postmark", event("postmark", several, "delivered", to=STAGING))
    several.refresh_from_db()
    assert several.status == "delivered"
    message = EmailMessage("s", "b", to=["linus@example.com"])
    message.send()
    assert message.email_log.state == "queued"  # type: ignore[attr-defined]


@pytest.mark.usefixtures("redirected")
def test_a_message_that_differs_by_recipient_is_the_first_ones(esp: LoopbackESP) -> None:
    message = AnymailMessage("s", "b", to=["linus@example.com", "ada@example.com"])
    message.merge_metadata = {"linus@example.com": {"n": 1}, "ada@example.com": {"n": 2}}
    message.send()
    esp.body = [{"ErrorCode": 0, "Message": "OK", "MessageID": "m", "To": STAGING}]
    delivery.drain(seconds=5)
    ((posted,),) = cast(Any, esp.accepted)
    assert (posted["To"], posted["Metadata"]["n"]) == (STAGING, 1)


def test_smtp_is_redirected_too(sink: SMTPSink, settings: Any) -> None:
    settings.EMAILS = {**settings.EMAILS, "REDIRECT_TO": STAGING}
    EmailMessage("s", "b", to=["linus@example.com"], bcc=["eve@example.com"]).send()
    delivery.drain(seconds=5)
    assert [message["To"] for message in sink.messages] == [STAGING]
    assert sink.messages[0]["X-Original-Recipients"] == "linus@example.com, eve@example.com"


def test_a_banner_says_so_on_every_page(client: Client, ada: User, settings: Any) -> None:
    client.force_login(ada)
    assert STAGING not in client.get("/admin/").content.decode()
    settings.EMAILS = {**settings.EMAILS, "REDIRECT_TO": STAGING}
    for path in ("/admin/", "/admin/accounts/user/", "/admin/emails/emaillog/"):
        assert f"All email goes to {STAGING}" in client.get(path).content.decode()
