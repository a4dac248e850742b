"""Each provider, chosen and pointed at a loopback address by its own setting names, is handed a message and its ref."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.core.mail import EmailMultiAlternatives

from emails import delivery
from emails.models import EmailLog
from emails.providers import PROVIDERS
from tests.emails.messages import ESPS

TO = "linus@example.com"
# What each API answers to a message to one recipient (status, JSON body), from the providers' documentation.
ANSWERS: dict[str, tuple[int, Any]] = {
    "amazon_ses": (200, {"MessageId": "id-1"}),
    "brevo": (201, {"messageId": "id-1"}),
    "mailersend": (202, {}),
    "mailgun": (200, {"id": "id-1", "message": "Queued. Thank you."}),
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


@pytest.mark.django_db
@pytest.mark.usefixtures("asleep")
@pytest.mark.parametrize(("key", "api"), [(key, key) for key in ESPS], indirect=["api"], ids=ESPS)
def test_it_is_handed_the_message(key: str, api: API, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = PROVIDERS[key]
    settings.EMAILS = {**settings.EMAILS, "PROVIDER": key, "OPTIONS": {}}
    settings.ANYMAIL = {
        **dict.fromkeys(provider.required, "credential"),
        f"{provider.prefix}API_URL": api.url,
        "MAILGUN_SENDER_DOMAIN": "example.com",
        "AMAZON_SES_CLIENT_PARAMS": {"region_name": "eu-central-1", "endpoint_url": api.url},
        "REQUESTS_TIMEOUT": 5,
    }
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    message = EmailMultiAlternatives("Größe", "the text", "boss@example.com", [f"Linus <{TO}>"])
    message.attach_alternative("<p>the html</p>", "text/html")
    message.send()
    delivery.drain(seconds=5)
    email = EmailLog.objects.get()
    assert (email.state, email.error) == ("sent", "")
    # SendGrid and Unisender Go answer with no id, so that Anymail makes one.
    made = key in {"sendgrid", "unisender_go"}
    assert email.message_id == "id-1" or (made and len(email.message_id) == 36)
    assert (email.provider, email.recipients.get().message_id) == (key, email.message_id)
    ((_path, body),) = api.requests
    if key != "amazon_ses":  # SES takes the whole message as MIME, in base64.
        assert str(email.ref).encode() in body
        assert b"the html" in body.replace(b"+", b" ")


def test_every_provider_has_an_answer() -> None:
    assert set(ANSWERS) == set(ESPS)
