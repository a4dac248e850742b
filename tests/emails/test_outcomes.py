"""What the end of an attempt means, and that nothing of a person or a key is kept of it."""

import smtplib
from socket import gaierror
from types import SimpleNamespace
from typing import Any

import pytest
from anymail.exceptions import (
    AnymailAPIError,
    AnymailConfigurationError,
    AnymailRecipientsRefused,
    AnymailRequestsAPIError,
    AnymailUnsupportedFeature,
)
from anymail.message import AnymailRecipientStatus, AnymailStatus
from django.core.mail import EmailMessage
from urllib3.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from emails.outcomes import of_answer, of_error
from emails.verdicts import Verdict
from emails.wording import explain, scrub


def message(handed_over: bool = False, **statuses: str | None) -> EmailMessage:
    made = EmailMessage("s", "b", to=["a@example.com"])
    made.handed_over = handed_over  # type: ignore[attr-defined]
    if statuses:
        status = AnymailStatus()
        told = {f"{name}@example.com": AnymailRecipientStatus(name, value) for name, value in statuses.items()}
        status.set_recipient_status(told)
        made.anymail_status = status  # type: ignore[attr-defined]
    return made


def api_error(status: int) -> Exception:
    response = SimpleNamespace(
        status_code=status, text="refused <linus@example.com> key-0123456789abcdef0123456789", headers={}
    )
    error = AnymailRequestsAPIError("x")
    error.response, error.status_code = response, status  # type: ignore[has-type]
    return error


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


POOL: Any = None
NEVER_CONNECTED = (
    NewConnectionError(POOL, "refused"),
    NameResolutionError("host", POOL, gaierror()),
    ConnectTimeoutError(),
    ProxyError("no proxy", NewConnectionError(POOL, "refused")),
)


def unreachable(reason: Exception) -> Exception:
    """As requests wraps what urllib3 raises."""
    return caused(AnymailRequestsAPIError("x"), ConnectionError(MaxRetryError(POOL, "/", reason)))


def ses(code: str, status: int) -> Exception:
    cause = Exception()
    cause.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}  # type: ignore[attr-defined]
    return caused(AnymailAPIError("x"), cause)


@pytest.mark.parametrize(
    ("error", "handed_over", "verdict"),
    [
        (AnymailUnsupportedFeature("tags"), False, Verdict.PERMANENT),
        (ValueError("bad address"), False, Verdict.PERMANENT),
        (TypeError("a bug"), False, Verdict.PERMANENT),
        (TypeError("a bug"), True, Verdict.AMBIGUOUS),
        (AnymailConfigurationError("no token"), False, Verdict.CONFIGURATION),
        (ImportError("boto3"), False, Verdict.CONFIGURATION),
        (ConnectionRefusedError(), False, Verdict.UNREACHABLE),
        (TimeoutError(), True, Verdict.AMBIGUOUS),
        *((unreachable(reason), True, Verdict.UNREACHABLE) for reason in NEVER_CONNECTED),
        (unreachable(SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] expired")), True, Verdict.CONFIGURATION),
        (unreachable(SSLError("bad record mac, while the answer was read")), True, Verdict.AMBIGUOUS),
        (unreachable(ReadTimeoutError(POOL, "/", "")), True, Verdict.AMBIGUOUS),
        (caused(AnymailRequestsAPIError("x"), ConnectionError(ProtocolError("reset"))), True, Verdict.AMBIGUOUS),
        *((api_error(status), True, Verdict.PERMANENT) for status in (400, 404, 405, 410, 413, 415, 422)),
        *((api_error(status), True, Verdict.CONFIGURATION) for status in (300, 302, 307)),
        *((api_error(status), True, Verdict.CONFIGURATION) for status in (401, 402, 403)),
        *((api_error(status), True, Verdict.TRANSIENT) for status in (408, 425, 500, 502, 503, 504)),
        (api_error(429), True, Verdict.THROTTLED),
        *((api_error(status), True, Verdict.AMBIGUOUS) for status in (200, 202)),
        (AnymailRecipientsRefused(), True, Verdict.REFUSED),
        (ses("TooManyRequestsException", 400), True, Verdict.THROTTLED),
        (ses("MessageRejected", 400), True, Verdict.PERMANENT),
        (ses("SendingPausedException", 400), True, Verdict.CONFIGURATION),
        (smtplib.SMTPAuthenticationError(535, b"no"), False, Verdict.CONFIGURATION),
        (smtplib.SMTPAuthenticationError(454, b"later"), False, Verdict.TRANSIENT),
        (smtplib.SMTPConnectError(421, b"busy"), False, Verdict.UNREACHABLE),
        (smtplib.SMTPConnectError(554, b"maintenance"), False, Verdict.CONFIGURATION),
        (smtplib.SMTPNotSupportedError("STARTTLS not supported"), False, Verdict.CONFIGURATION),
        (smtplib.SMTPSenderRefused(530, b"sign in", "f@example.com"), False, Verdict.CONFIGURATION),
        (smtplib.SMTPSenderRefused(552, b"too large", "f@example.com"), False, Verdict.PERMANENT),
        (smtplib.SMTPRecipientsRefused({"a@example.com": (550, b"no")}), False, Verdict.REFUSED),
        (smtplib.SMTPRecipientsRefused({"a@example.com": (451, b"later")}), False, Verdict.TRANSIENT),
        (smtplib.SMTPDataError(452, b"full"), True, Verdict.TRANSIENT),
        (smtplib.SMTPDataError(554, b"spam"), True, Verdict.PERMANENT),
        (smtplib.SMTPServerDisconnected("gone"), False, Verdict.UNREACHABLE),
        (smtplib.SMTPServerDisconnected("gone"), True, Verdict.AMBIGUOUS),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_errors(error: Exception, handed_over: bool, verdict: Verdict) -> None:
    assert of_error(message(handed_over), error).verdict is verdict


@pytest.mark.parametrize(
    ("statuses", "sent", "verdict"),
    [
        ({"a": "sent"}, 1, Verdict.ACCEPTED),
        ({"a": "queued", "b": "rejected"}, 1, Verdict.ACCEPTED),
        ({"a": "unknown"}, 1, Verdict.ACCEPTED),
        ({"a": "failed"}, 1, Verdict.PERMANENT),
        ({"a": "rejected", "b": "invalid"}, 1, Verdict.REFUSED),
        ({}, 1, Verdict.ACCEPTED),
        ({}, 0, Verdict.CANCELLED),
    ],
)
def test_answers(statuses: dict[str, Any], sent: int, verdict: Verdict) -> None:
    assert of_answer(message(**statuses), sent).verdict is verdict


def test_a_receiver_that_fails_after_acceptance_makes_no_second_copy() -> None:
    outcome = of_error(message(True, a="sent"), RuntimeError("in post_send"))
    assert (outcome.verdict, outcome.message_id) == (Verdict.ACCEPTED, "a")


def test_reasons_keep_neither_addresses_nor_keys() -> None:
    words = explain(api_error(422))
    assert words.startswith("HTTP 422: refused")
    assert "linus" not in words
    assert "0123456789" not in words
    assert len(scrub("word " * 1000)) <= 500
