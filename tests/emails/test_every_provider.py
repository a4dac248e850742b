"""Each provider by its environment alone: it takes a message, and its signed reports end where staff read."""

import base64
import json
import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.core.mail import EmailMultiAlternatives

from emails import delivery
from emails.models import EmailEvent, EmailLog
from emails.providers import PROVIDERS
from tests.emails.messages import ESPS
from tests.sink import SMTPSink
from tests.webhooks import NOON, configure, environment, event, report

TO = "linus@example.com"
# What each API answers to a message to one recipient (status, JSON body), from the providers' documentation.
ANSWERS: dict[str, tuple[int, Any]] = {
    "amazon_ses": (200, {"MessageId": "id-1"}),
    "brevo": (201, {"messageId": "id-1"}),
    "mailersend": (202, {}),
    "mailgun": (200, {"id": "<id-1>", "message": "Queued. Thank you."}),
    "mailjet": (200, {"Messages": [{"Status": "success", "To": [{"Email": TO, "MessageID": "id-1"}]}]}),
    "mailtrap": (200, {"success": True, "message_ids": ["id-1"]}),
    "mandrill": (200, [{"email": TO, "status": "sent", "_id": "id-1"}]),
    "postal": (200, {"status": "success", "data": {"message_id": "x", "messages": {TO: {"id": "id-1"}}}}),
    "postmark": (200, {"ErrorCode": 0, "Message": "OK", "MessageID": "id-1", "To": TO}),
    "resend": (200, {"id": "id-1"}),
    "scaleway": (200, {"emails": [{"id": "id-1", "mail_rcpt": TO, "status": "new", "message_id": "x"}]}),
    "sendgrid": (202, {}),
    "sparkpost": (200, {"results": {"id": "id-1", "total_accepted_recipients": 1, "total_rejected_recipients": 0}}),
    "unisender_go": (200, {"status": "success", "job_id": "id-1", "emails": [TO]}),
}
MAKES_ITS_OWN_ID = {"sendgrid", "unisender_go"}  # Where the answer has none, Anymail makes one.


# Where each takes a message, from its API's reference.
ENDPOINTS = {
    "amazon_ses": "v2/email/outbound-emails",
    "brevo": "smtp/email",
    "mailersend": "email",
    "mailgun": "example.com/messages",
    "mailjet": "send",
    "mailtrap": "send",
    "mandrill": "messages/send.json",
    "postal": "api/v1/send/message",
    "postmark": "email",
    "resend": "emails",
    "scaleway": "emails",
    "sendgrid": "mail/send",
    "sparkpost": "transmissions/",
    "unisender_go": "email/send.json",
}
PDF = base64.b64encode(b"%PDF-1.4 \x00\xff").decode()


def as_text(key: str, body: bytes) -> str:
    """What arrived, legible: JSON, a form (Mailgun), or a MIME message within JSON (Amazon SES)."""
    if key == "mailgun":
        return body.replace(b"%PDF-1.4 \x00\xff", PDF.encode()).decode()
    data = json.loads(body)
    if key != "amazon_ses":
        return unquoted(json.dumps(data, ensure_ascii=False))
    message = message_from_bytes(base64.b64decode(data["Content"]["Raw"]["Data"]), policy=policy.default)
    parts = [part for part in message.walk() if not part.is_multipart()]
    content = [part.get_content() for part in parts]
    texts = [base64.b64encode(one).decode() if isinstance(one, bytes) else one for one in content]
    return " ".join([*map(str, message.values()), *texts, *(part.get_filename() or "" for part in parts)])


def unquoted(text: str) -> str:
    """With the names of addresses legible, which JSON APIs take as headers write them (RFC 2047)."""
    words = re.findall(r"=\?utf-8\?[bq]\?[^?]*\?=", text, re.IGNORECASE)
    return " ".join([text, *(str(make_header(decode_header(word))) for word in words)])


class API(ThreadingHTTPServer):
    """Answers as the provider `key` does, and keeps the requests."""

    daemon_threads = True

    def __init__(self, key: str) -> None:
        self.requests: list[tuple[str, bytes]] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                api.requests.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
                status, answer = ANSWERS[key]
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("X-Message-Id", "id-1")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"


@pytest.fixture
def api(request: pytest.FixtureRequest) -> Iterator[API]:
    with API(request.param) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server
        server.shutdown()


def send_one() -> EmailLog:
    message = EmailMultiAlternatives(
        "Größe ✓", "the text", "Böss <boss@example.com>", [f"Lïnus <{TO}>"], reply_to=["Älva <reply@example.com>"]
    )
    message.attach_alternative("<p>the html</p>", "text/html")
    message.attach("größe.pdf", b"%PDF-1.4 \x00\xff", "application/pdf")
    message.send()
    delivery.drain(seconds=5)
    return EmailLog.objects.get()


@pytest.mark.django_db
@pytest.mark.usefixtures("asleep")
@pytest.mark.parametrize(("key", "api"), [(key, key) for key in ESPS], indirect=["api"], ids=ESPS)
def test_from_the_environment_to_the_last_report(
    key: str, api: API, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(settings, **environment(key, api.url))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    email = send_one()
    assert (email.state, email.error, email.provider) == ("sent", "", key)
    assert email.message_id.strip("<>") == "id-1" or (key in MAKES_ITS_OWN_ID and len(email.message_id) == 36)
    assert email.recipients.get().message_id == email.message_id
    ((path, body),) = api.requests
    assert path == f"/{ENDPOINTS[key]}"
    arrived = as_text(key, body)
    for part in ("Größe ✓", "Lïnus", TO, "Böss", "reply@example.com", "the text", "the html", PDF, "größe.pdf"):
        assert part in arrived, (part, arrived)
    assert str(email.ref) in arrived
    webhook = PROVIDERS[key].webhook
    told = [name for name in ("delivered", "opened", "clicked", "complained") if webhook and name in webhook.events]
    for n, name in enumerate(told):
        answer = report(key, event(key, email, name, at=NOON + timedelta(seconds=n)))
        assert answer.status_code == 200, (name, answer.content)
        email.refresh_from_db()
        assert email.delivery == ("complained" if name == "complained" else "delivered")
    recipient = email.recipients.get()
    assert (recipient.open_count, recipient.click_count) == (int("opened" in told), int("clicked" in told))
    timeline = list(EmailEvent.objects.filter(email=email, reported=True).order_by("occurred_at"))
    assert [entry.type for entry in timeline] == told
    assert {(entry.recipient_id, entry.provider) for entry in timeline} <= {(recipient.pk, key)}
    if webhook:
        assert timeline[0].occurred_at == NOON


@pytest.mark.django_db
@pytest.mark.usefixtures("asleep")
@pytest.mark.parametrize(
    ("key", "api"), [(key, key) for key in ESPS if key != "scaleway"], indirect=["api"], ids=lambda value: str(value)
)
def test_a_bounce_is_read_as_one(key: str, api: API, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(settings, **environment(key, api.url))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    email = send_one()
    assert report(key, event(key, email, "bounced")).status_code == 200
    email.refresh_from_db()
    assert (email.state, email.delivery, email.status) == ("sent", "bounced", "bounced")
    assert email.recipients.get().delivery_at == NOON
    message = EmailMultiAlternatives("Again", "text", None, [TO])
    message.send()
    assert message.email_log.state == "suppressed"  # type: ignore[attr-defined]


@pytest.mark.django_db
@pytest.mark.usefixtures("asleep")
def test_smtp_takes_the_same_message(sink: SMTPSink) -> None:
    email = send_one()
    assert (email.state, email.provider) == ("sent", "smtp")
    assert str(email.ref) in email.message_id
    assert len(sink.messages) == 1


def test_every_provider_has_an_answer() -> None:
    assert set(ANSWERS) == set(ESPS)
