"""The table of providers, and how our reference travels with each."""

import pkgutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from anymail import backends
from anymail.message import AnymailMessage
from django.core.mail import EmailMessage

from emails import delivery
from emails.marks import domain_of, mark
from emails.models import EmailLog
from emails.payload import UnstorableMessage, dump
from emails.providers import PROVIDERS
from tests.emails.messages import ANYMAIL, ESPS, request_of
from tests.esp import LoopbackESP

REF = "0b5c1d2e-0000-4000-8000-000000000001"


@pytest.fixture
def credentials(settings: Any) -> None:
    settings.ANYMAIL = {**ANYMAIL, "REQUESTS_TIMEOUT": 30}


def marked(key: str, **options: Any) -> AnymailMessage:
    message = AnymailMessage("s", "b", "f@example.com", ["a@example.com"], **options)
    mark(message, PROVIDERS[key], REF, "welcome")
    return message


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize("key", ESPS)
def test_every_esp_takes_our_reference_and_a_callers_own_tag(key: str) -> None:
    for options in ({}, {"tags": ["mine"]}):
        request = request_of(key, marked(key, **options))
        assert not (isinstance(request, tuple) and request[0].startswith("Anymail")), request
        alone = key != "postal" or not options  # One tag is all that Postal takes, and the caller's comes first.
        assert (REF in str(request)) is alone
        assert ("mine" in str(request)) is bool(options)


def test_a_callers_metadata_is_kept_and_ours_is_never_taken() -> None:
    assert marked("postmark", metadata={"order": 1}).metadata == {"order": 1, "ref": REF}
    message = EmailMessage("s", "b", to=["a@example.com"])
    message.metadata = {"ref": "mine"}  # type: ignore[attr-defined]
    with pytest.raises(UnstorableMessage, match="name yours otherwise"):
        dump(message)


@pytest.mark.parametrize(
    ("sender", "domain"),
    [
        ("Böss <boss@exämple.com>", "xn--exmple-cua.com"),
        ("boss@example.com", "example.com"),
        ("not an address", "localhost"),
        ("a@" + "ü" * 100, "localhost"),
    ],
)
def test_message_ids_are_ascii_whatever_the_sender(sender: str, domain: str) -> None:
    assert domain_of(sender) == domain
    domain_of(sender).encode("ascii")


class Dropping(BaseHTTPRequestHandler):
    """An endpoint that takes the whole request and hangs up."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append(self.path)  # type: ignore[attr-defined]
        self.connection.close()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.mark.django_db
@pytest.mark.usefixtures("asleep")
def test_amazon_ses_is_asked_once_however_it_hangs_up(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Dropping)
    server.posts = []  # type: ignore[attr-defined]
    server.handle_error = lambda *args: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    params = {"region_name": "eu-central-1", "endpoint_url": url, "config": {"retries": {"max_attempts": 5}}}
    settings.ANYMAIL = {"AMAZON_SES_CLIENT_PARAMS": params, "REQUESTS_TIMEOUT": 5}
    settings.EMAILS = {**settings.EMAILS, "PROVIDER": "amazon_ses", "OPTIONS": {}}
    EmailMessage("s", "b", to=["a@example.com"]).send()
    delivery.drain(seconds=5)
    server.shutdown()
    server.server_close()
    assert len(server.posts) == 1  # type: ignore[attr-defined]
    assert EmailLog.objects.get().state == "in_doubt"


def test_the_table_names_every_backend_that_anymail_ships() -> None:
    shipped = {module.name for module in pkgutil.iter_modules(backends.__path__)}
    ours = {provider.key for provider in PROVIDERS.values() if provider.prefix}
    assert shipped - ours == {"base", "base_requests", "console", "test", "sendinblue"}


@pytest.mark.django_db
@pytest.mark.usefixtures("asleep", "credentials")
class TestWhatAProviderCannotCarry:
    def tried(self, key: str, settings: Any, **options: Any) -> EmailLog:
        settings.ANYMAIL = {**settings.ANYMAIL, "REQUESTS_TIMEOUT": 1}
        settings.EMAILS = {**settings.EMAILS, "PROVIDER": key}
        AnymailMessage("s", "b", "f@example.com", ["a@example.com"], **options).send()
        delivery.drain(seconds=5)
        return EmailLog.objects.get()

    @pytest.mark.parametrize(
        ("key", "options", "reason"),
        [
            ("postmark", {"tags": ["one", "two"]}, "multiple tags"),
            ("postal", {"metadata": {"order": 1}}, "metadata"),
            ("mailersend", {"metadata": {"order": 1}}, "metadata"),
            ("resend", {"template_id": "welcome"}, "template_id"),
            ("scaleway", {"send_at": 1_800_000_000}, "send_at"),
        ],
    )
    def test_what_the_caller_asked_for_is_failed_with_the_reason(
        self, key: str, options: dict[str, Any], reason: str, settings: Any
    ) -> None:
        email = self.tried(key, settings, **options)
        assert (email.state, email.error_class) == ("failed", "AnymailUnsupportedFeature")
        assert reason in email.error
        assert email.payload  # nothing of it is lost

    def test_what_is_ours_yields_first(self, settings: Any, esp: LoopbackESP) -> None:
        """A stored template of Mailgun's with a placeholder that is named like our reference."""
        settings.ANYMAIL = {**ANYMAIL, "MAILGUN_API_URL": esp.url, "REQUESTS_TIMEOUT": 3}
        settings.EMAILS = {**settings.EMAILS, "PROVIDER": "mailgun"}
        esp.body, esp.reads_json = {"id": "<1>", "message": "Queued."}, False
        data = {"a@example.com": {"ref": "theirs"}}
        message = AnymailMessage("s", "b", "f@example.com", ["a@example.com"], template_id="t", merge_data=data)
        message.send()
        delivery.drain(seconds=5)
        email = EmailLog.objects.get()
        assert (email.state, email.message_id) == ("sent", "<1>")
        assert b"theirs" in esp.bodies[0]
        assert str(email.ref).encode() not in esp.bodies[0].replace(f"<{email.ref}@".encode(), b"")
