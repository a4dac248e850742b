"""Every fault of the error table, made by a loopback server: where the message ends, and whether a try counted."""

import json
import time
from typing import Any

import pytest
from anymail.exceptions import AnymailCancelSend
from anymail.signals import post_send, pre_send
from django.core.mail import EmailMessage

from emails import delivery
from emails.models import EmailLog, Lane
from tests.faults import ANSWERS, HTTPFault, SMTPFault
from tests.faults import answer as answer_of
from tests.sink import free_port

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("asleep")]

SENT, FAILED, DOUBT, REFUSED = ("sent", 1), ("failed", 1), ("in_doubt", 1), ("suppressed", 1)
AGAIN = ("retrying", 1)  # Not sent, and the try counts.
UNTRIED = ("retrying", 0)  # Not sent, and no fault of the message.


def outcome(to: list[str] | None = None, **parts: Any) -> tuple[str, int]:
    message = EmailMessage("s", "b", to=to or ["linus@example.com"], **parts)
    message.send()
    delivery.drain(seconds=10)
    email: EmailLog = message.email_log  # type: ignore[attr-defined]
    email.refresh_from_db()
    assert "linus@example.com" not in email.error
    return email.state, email.attempts


def use_postmark(settings: Any, url: str) -> None:
    settings.EMAILS = {**settings.EMAILS, "PROVIDER": "postmark", "OPTIONS": {}, "CONCURRENCY": 1}
    settings.ANYMAIL = {"POSTMARK_SERVER_TOKEN": "t", "POSTMARK_API_URL": url, "REQUESTS_TIMEOUT": 0.5}


@pytest.mark.parametrize(
    ("fault", "expected", "reason"),
    [
        ("reset in the headers", DOUBT, ""),
        ("reset after the body", DOUBT, ""),
        ("closes without a word", DOUBT, ""),
        ("garbage status line", DOUBT, ""),
        ("silence", DOUBT, ""),
        ("stalled body", DOUBT, ""),
        ("truncated", DOUBT, ""),
        ("bad chunk", DOUBT, ""),
        ("bad gzip", DOUBT, ""),
        ("good gzip", SENT, ""),
        ("html", DOUBT, ""),
        ("other json", DOUBT, ""),
        ("redirect", UNTRIED, "configuration"),
        ("self-signed", UNTRIED, "configuration"),
        *((status, FAILED, "") for status in (400, 404, 409, 410, 413, 415, 422)),
        *((status, UNTRIED, "configuration") for status in (401, 402, 403)),
        *((status, AGAIN, "") for status in (408, 425, 500, 502, 503, 504)),
        (429, UNTRIED, "throttled"),
    ],
)
def test_http(settings: Any, fault: Any, expected: tuple[str, int], reason: str) -> None:
    with HTTPFault(fault) as server:
        use_postmark(settings, server.url)
        assert outcome() == expected
        assert Lane.objects.get(key="postmark").reason == reason
        assert server.hits == 1  # nobody tries again behind our back


def test_http_a_reset_on_accept_is_a_doubt_unless_it_is_seen_before_anything_left(settings: Any) -> None:
    with HTTPFault("reset on accept") as server:
        use_postmark(settings, server.url)
        assert outcome() in {DOUBT, UNTRIED}


def test_http_nobody_listens(settings: Any) -> None:
    use_postmark(settings, f"http://127.0.0.1:{free_port()}/")
    assert outcome() == UNTRIED


def test_http_no_such_host(settings: Any) -> None:
    use_postmark(settings, "http://nosuchhost.invalid/")
    assert outcome() == UNTRIED


def test_http_tls_with_somebody_who_speaks_none(settings: Any) -> None:
    with HTTPFault("html") as server:
        use_postmark(settings, server.url.replace("http:", "https:"))
        assert outcome() == UNTRIED


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({}, SENT),
        ({"QUIT": "close"}, SENT),
        ({"banner": "421 busy"}, UNTRIED),
        ({"banner": "554 not today"}, UNTRIED),
        ({"banner": "close"}, UNTRIED),
        ({"banner": "hang"}, UNTRIED),
        ({"AUTH": "535 who?"}, UNTRIED),
        ({"AUTH": "454 later"}, AGAIN),
        ({"MAIL": "451 later"}, AGAIN),
        ({"MAIL": "550 not you"}, UNTRIED),
        ({"MAIL": "552 too large"}, FAILED),
        ({"MAIL": "close"}, UNTRIED),
        ({"RCPT": "550 no such user"}, REFUSED),
        ({"RCPT": "451 greylisted"}, AGAIN),
        ({"RCPT": "421 going down"}, AGAIN),
        ({"RCPT": "close"}, UNTRIED),
        ({"DATA": "451 later"}, AGAIN),
        ({"DATA": "554 spam"}, FAILED),
        ({"DATA": "close"}, DOUBT),
        ({"dot": "452 full"}, AGAIN),
        ({"dot": "554 spam"}, FAILED),
        ({"dot": "close"}, DOUBT),
        ({"dot": "hang"}, DOUBT),
    ],
    ids=str,
)
def test_smtp(settings: Any, answers: dict[str, str], expected: tuple[str, int]) -> None:
    with SMTPFault(**answers) as server:
        options = {"host": "127.0.0.1", "port": server.port, "timeout": 0.5, "username": "u", "password": "p"}
        settings.EMAILS = {**settings.EMAILS, "PROVIDER": "smtp", "OPTIONS": options, "CONCURRENCY": 1}
        assert outcome() == expected


def test_smtp_without_the_tls_that_was_asked_for_nothing_leaves(settings: Any) -> None:
    with SMTPFault() as server:
        options = {"host": "127.0.0.1", "port": server.port, "timeout": 0.5, "use_tls": True}
        settings.EMAILS = {**settings.EMAILS, "PROVIDER": "smtp", "OPTIONS": options}
        assert outcome() == UNTRIED
        assert server.accepted == 0


class SES(HTTPFault):
    """Speaks as SES v2 does."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(status, f"x-amzn-errortype: {code}")


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (429, "TooManyRequestsException", UNTRIED),
        (400, "LimitExceededException", UNTRIED),
        (400, "SendingPausedException", UNTRIED),
        (400, "AccountSuspendedException", UNTRIED),
        (400, "MailFromDomainNotVerifiedException", UNTRIED),
        (404, "NotFoundException", UNTRIED),
        (400, "MessageRejected", FAILED),
        (400, "BadRequestException", FAILED),
        (503, "ServiceUnavailable", AGAIN),
    ],
)
def test_amazon_ses(
    settings: Any, monkeypatch: pytest.MonkeyPatch, status: int, code: str, expected: tuple[str, int]
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with SES(status, code) as server:
        settings.EMAILS = {**settings.EMAILS, "PROVIDER": "amazon_ses", "OPTIONS": {}}
        client = {"region_name": "eu-central-1", "endpoint_url": server.url}
        settings.ANYMAIL = {"AMAZON_SES_CLIENT_PARAMS": client, "REQUESTS_TIMEOUT": 1}
        assert outcome() == expected
        assert server.hits == 1


@pytest.mark.parametrize(
    ("provider", "answer", "expected"),
    [
        ("postal", {"status": "error", "data": {"code": "ValidationError", "message": "x"}}, FAILED),
        ("postal", {"status": "error", "data": {"code": "InvalidServerAPIKey", "message": "x"}}, UNTRIED),
        ("mailjet", {"Messages": [{"Status": "error", "Errors": [{"ErrorCode": "mj-0013"}]}]}, FAILED),
        ("mailjet", {"Messages": [{"Status": "error", "Errors": [{"ErrorCode": "send-0008"}]}]}, UNTRIED),
        (
            "unisender_go",
            {"status": "success", "emails": [], "failed_emails": {"linus@example.com": "temporary_unavailable"}},
            AGAIN,
        ),
        (
            "unisender_go",
            {"status": "success", "emails": [], "failed_emails": {"linus@example.com": "permanent_unavailable"}},
            REFUSED,
        ),
    ],
)
def test_what_providers_hide_behind_a_200(
    settings: Any, monkeypatch: pytest.MonkeyPatch, provider: str, answer: Any, expected: tuple[str, int]
) -> None:
    monkeypatch.setitem(ANSWERS, "hidden", answer_of(200, json.dumps(answer).encode()))
    with HTTPFault("hidden") as server:
        settings.EMAILS = {**settings.EMAILS, "PROVIDER": provider, "OPTIONS": {}}
        prefix = provider.upper()
        names = ("API_KEY", "SECRET_KEY", "API_URL")
        settings.ANYMAIL = {f"{prefix}_{name}": server.url if name == "API_URL" else "key" for name in names}
        settings.ANYMAIL["REQUESTS_TIMEOUT"] = 1
        assert outcome() == expected


def test_code_of_ours_that_stops_a_message_cancels_it(settings: Any) -> None:
    def stop(**kwargs: Any) -> None:
        raise AnymailCancelSend

    with HTTPFault("other json") as server:
        use_postmark(settings, server.url)
        pre_send.connect(stop)
        try:
            assert outcome()[0] == "cancelled"
        finally:
            pre_send.disconnect(stop)
        assert server.hits == 0


def test_code_of_ours_that_fails_after_acceptance_makes_no_second_copy(settings: Any) -> None:
    def fail(**kwargs: Any) -> None:
        raise RuntimeError

    with HTTPFault("good gzip") as server:
        use_postmark(settings, server.url)
        post_send.connect(fail)
        try:
            assert outcome() == SENT
        finally:
            post_send.disconnect(fail)
        assert server.hits == 1


@pytest.mark.parametrize(
    ("status", "body", "headers", "expected"),
    [
        (503, b"{}", ["Retry-After: Mon, 01 Jan 99999999999 00:00:00 GMT"], AGAIN),
        (503, b"{}", ["Retry-After: 1e999"], AGAIN),
        (500, b"[" * 200_000, [], AGAIN),
        (200, b"[" * 200_000, [], DOUBT),
        (200, b"null", [], DOUBT),
    ],
    ids=["a date beyond time", "an endless number", "a deep error", "a deep answer", "null"],
)
def test_an_odd_answer_ends_its_attempt_and_no_thread(
    settings: Any, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, headers: list[str], expected: Any
) -> None:
    monkeypatch.setitem(ANSWERS, "odd", answer_of(status, body, *headers))
    with HTTPFault("odd") as server:
        use_postmark(settings, server.url)
        assert outcome() == expected
        assert outcome()[0] in {"retrying", "in_doubt"}  # by the same thread


def test_an_answer_that_trickles_is_broken_off(settings: Any) -> None:
    with HTTPFault("trickle") as server:
        use_postmark(settings, server.url)
        settings.EMAILS = {**settings.EMAILS, "DEADLINE": 1.0}
        started = time.monotonic()
        assert outcome() == DOUBT
        assert time.monotonic() - started < 4


def test_a_mailjet_error_of_no_shape_is_no_success(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = {"Messages": [{"Status": "error", "Errors": ["boom"]}]}
    monkeypatch.setitem(ANSWERS, "hidden", answer_of(200, json.dumps(odd).encode()))
    with HTTPFault("hidden") as server:
        settings.EMAILS = {**settings.EMAILS, "PROVIDER": "mailjet", "OPTIONS": {}}
        settings.ANYMAIL = {"MAILJET_API_KEY": "k", "MAILJET_SECRET_KEY": "s", "MAILJET_API_URL": server.url}
        settings.ANYMAIL["REQUESTS_TIMEOUT"] = 1
        assert outcome() == FAILED


def test_behind_a_proxy_that_is_gone_nothing_has_left(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    use_postmark(settings, "http://provider.example/")
    assert outcome() == UNTRIED


@pytest.mark.parametrize(
    ("provider", "status", "answer", "state"),
    [
        ("brevo", 400, {"code": "duplicate_parameter", "message": "x"}, "sent"),
        ("brevo", 400, {"code": "invalid_parameter", "message": "x"}, "failed"),
        ("resend", 409, {"name": "concurrent_idempotent_requests", "message": "x"}, "retrying"),
        ("resend", 409, {"name": "invalid_idempotent_request", "message": "x"}, "in_doubt"),
        ("postmark", 422, {"ErrorCode": 300, "Message": "Invalid email request"}, "failed"),
        ("postmark", 422, {"ErrorCode": 400, "Message": "Sender not found"}, "retrying"),
        ("mailgun", 200, "Mailgun Magnificent API", "retrying"),
    ],
)
def test_a_providers_own_words_weigh_more_than_its_status(
    settings: Any, monkeypatch: pytest.MonkeyPatch, provider: str, status: int, answer: Any, state: str
) -> None:
    body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
    monkeypatch.setitem(ANSWERS, "hidden", answer_of(status, body))
    with HTTPFault("hidden") as server:
        settings.EMAILS = {**settings.EMAILS, "PROVIDER": provider, "OPTIONS": {}}
        names = ("API_KEY", "SERVER_TOKEN", "API_URL")
        settings.ANYMAIL = {
            f"{provider.upper()}_{name}": server.url if name == "API_URL" else "example.com" for name in names
        }
        settings.ANYMAIL |= {"MAILGUN_SENDER_DOMAIN": "example.com", "REQUESTS_TIMEOUT": 1}
        assert outcome()[0] == state
