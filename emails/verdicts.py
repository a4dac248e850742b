"""What an error says of the attempt that it ended. One function per question, one row per fault.

The rule behind the table: an exception before the request left is certainly not sent; one that tells the provider's own
answer is taken at its word; anything else after it left is ambiguous, and never retried blindly.
"""

from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from smtplib import (
    SMTPAuthenticationError,
    SMTPConnectError,
    SMTPException,
    SMTPHeloError,
    SMTPNotSupportedError,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPSenderRefused,
)
from socket import gaierror
from ssl import SSLCertVerificationError
from typing import Any

from anymail.exceptions import AnymailAPIError, AnymailRecipientsRefused
from django.core.exceptions import ImproperlyConfigured
from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError, ProxyError

from emails.sessions import CertificateRefused, NeverConnected


class Verdict(Enum):
    ACCEPTED = "accepted"
    REFUSED = "refused"  # The provider knows the address and will not send to it.
    TRANSIENT = "transient"  # Not sent, worth another try.
    UNREACHABLE = "unreachable"  # As transient, but the provider was not even asked: no attempt is counted.
    THROTTLED = "throttled"  # As transient, but no fault of the message: no attempt is counted.
    CONFIGURATION = "configuration"  # As throttled: an operator has to act.
    PERMANENT = "permanent"  # Certainly not sent, and never will be.
    AMBIGUOUS = "ambiguous"  # Nobody knows whether it was sent.
    MISMATCH = "mismatch"  # As ambiguous, but another attempt with our key would tell no more: a bug of ours.
    CANCELLED = "cancelled"  # Code of this project stopped it (Anymail's AnymailCancelSend).


# What a provider's own code says of itself and not of the message: an operator has to act.
CONFIGURATION_CODES = {
    # Amazon SES, API reference, SendEmail: errors; and the account's and the configuration set's state.
    *("SendingPausedException", "AccountSuspendedException", "MailFromDomainNotVerifiedException"),
    *("LimitExceededException", "NotFoundException"),
    *("10", "400", "401", "405"),  # Postmark: bad token, unknown or unconfirmed sender, no credits
    *("InvalidServerAPIKey", "AccessDenied", "ServerSuspended"),  # Postal, which answers 200 to everything
    "send-0008",  # Mailjet: the sender is not validated
}
THROTTLING_CODES = {"TooManyRequestsException", "Throttling", "ThrottlingException"}  # Amazon SES
KNOWN_KEY_CODES = {"duplicate_parameter"}  # Brevo: the key's first request was accepted.
CONCURRENT_CODES = {"concurrent_idempotent_requests"}  # Resend: the key's first request is still at work.
MISMATCH_CODES = {"invalid_idempotent_request"}  # Resend: the same key with other bytes, a bug of ours.
TEMPORARY_CODES = {"temporary_unavailable"}  # Unisender Go, per recipient
SENDER_REFUSED = {530, 535, 538, 550, 553}  # SMTP: sign in first, or not with this sender
MAGNIFICENT = "Mailgun Magnificent API"  # What Mailgun says, with 200, at an address that is not its API.


def judge(error: Exception, handed_over: bool) -> Verdict:
    status = status_code(error)
    match error:
        case AnymailRecipientsRefused():
            return Verdict.REFUSED
        case SMTPException() if (verdict := of_smtp(error)) is not None:
            return verdict
        case ImproperlyConfigured() | ImportError():
            return Verdict.AMBIGUOUS if handed_over else Verdict.CONFIGURATION
        case AnymailAPIError() if status is not None:
            return of_code(error) or of_status(status)
    if bad_certificate(error) or no_url(error) or unconfigured(error):
        return Verdict.CONFIGURATION
    if not handed_over:
        return Verdict.UNREACHABLE if isinstance(error, OSError | SMTPException) else Verdict.PERMANENT
    return Verdict.UNREACHABLE if never_connected(error) else Verdict.AMBIGUOUS


def of_smtp(error: SMTPException) -> Verdict | None:
    """What an SMTP server's answer says (RFC 5321, section 4.2.1: 4yz may go well later, 5yz not)."""
    match error:
        case SMTPAuthenticationError():
            return Verdict.TRANSIENT if error.smtp_code < 500 else Verdict.CONFIGURATION
        case SMTPRecipientsRefused():
            return Verdict.TRANSIENT if any(code < 500 for code, _ in error.recipients.values()) else Verdict.REFUSED
        case SMTPConnectError() | SMTPHeloError():
            return Verdict.UNREACHABLE if error.smtp_code < 500 else Verdict.CONFIGURATION
        case SMTPSenderRefused() if error.smtp_code in SENDER_REFUSED:
            return Verdict.CONFIGURATION
        case SMTPNotSupportedError():
            return Verdict.PERMANENT if "SMTPUTF8" in str(error) else Verdict.CONFIGURATION
        case SMTPResponseException():
            return Verdict.TRANSIENT if error.smtp_code < 500 else Verdict.PERMANENT
    return None


def of_code(error: Exception) -> Verdict | None:
    """What the provider's own code says, whatever the HTTP status; None where it is none that we know."""
    code = provider_code(error)
    if code in CONFIGURATION_CODES or MAGNIFICENT in words_of(error):
        return Verdict.CONFIGURATION
    if code in THROTTLING_CODES:
        return Verdict.THROTTLED
    if code in KNOWN_KEY_CODES:
        return Verdict.ACCEPTED
    if code in MISMATCH_CODES:
        return Verdict.MISMATCH
    if code in CONCURRENT_CODES:
        return Verdict.TRANSIENT
    # Postal answers 200 with a status of its own: it has read the message and does not take it.
    return Verdict.PERMANENT if body_of(error).get("status") in {"error", "parameter-error"} else None


def of_status(status: int) -> Verdict:
    """What an HTTP status says. A 2xx that raised has a body nobody could read: it may well be accepted."""
    if 200 <= status < 300:
        return Verdict.AMBIGUOUS
    if status == 429:
        return Verdict.THROTTLED
    if status in {401, 402, 403} or 300 <= status < 400:
        return Verdict.CONFIGURATION
    return Verdict.TRANSIENT if status in {408, 425} or status >= 500 else Verdict.PERMANENT


def perhaps_sent(error: Exception) -> bool:
    """Whether a server's error may hide an acceptance: its own fault, or that of a gateway before it."""
    return status_code(error) in {500, 502, 504}


def retry_after(error: Exception, now: datetime) -> float | None:
    """How many seconds the provider asks to wait, at most an hour (RFC 9110, section 10.2.3: seconds, or a date)."""
    response = getattr(error, "response", None)
    headers = getattr(response, "headers", None) or getattr(getattr(error, "__cause__", None), "headers", None) or {}
    value = str(headers.get("Retry-After") or headers.get("ratelimit-reset") or "").strip()
    try:
        # By the provider's own clock where it tells the time: this machine's may be wrong.
        seconds = float(value) if value.replace(".", "", 1).isdigit() else until(value, headers.get("Date"), now)
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), 3600.0)


def until(date: str, its_now: str | None, now: datetime) -> float:
    return (parsedate_to_datetime(date) - (parsedate_to_datetime(its_now) if its_now else now)).total_seconds()


def never_connected(error: Exception) -> bool:
    """Whether the connection failed before any byte of the request could leave: refused, no such host, no proxy.

    Not every MaxRetryError does: urllib3 raises it too where TLS breaks while the answer is read.
    """
    for cause in causes(error):
        if isinstance(
            cause, NeverConnected | NewConnectionError | ConnectTimeoutError | ConnectionRefusedError | gaierror
        ):
            return True
        # requests' own, and botocore's for Amazon SES.
        if type(cause).__name__ in NEVER_CONNECTED:
            return True
    return False


# botocore's: it does not know where to go, or as whom.
UNCONFIGURED = {
    "NoRegionError",
    "NoCredentialsError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "InvalidRegionError",
}
NEVER_CONNECTED = {"ConnectTimeout", "EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError"}


def bad_certificate(error: Exception) -> bool:
    """Whether the provider, or who stands in its place, has a certificate that is not to be trusted with a key."""
    return any(
        isinstance(cause, CertificateRefused | SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(cause)
        for cause in causes(error)
    )


def no_url(error: Exception) -> bool:
    """Whether the provider's address is none at all, so that nobody was called."""
    return any(isinstance(cause, InvalidSchema | InvalidURL | MissingSchema) for cause in causes(error))


def unconfigured(error: Exception) -> bool:
    return any(type(cause).__name__ in UNCONFIGURED for cause in causes(error))


def causes(error: Exception) -> list[Any]:
    found: list[Any] = [error, error.__cause__, *getattr(error.__cause__, "args", ())]
    found += [cause.reason for cause in found if isinstance(cause, MaxRetryError)]
    return found + [cause.original_error for cause in found if isinstance(cause, ProxyError)]


def status_code(error: Exception) -> int | None:
    """The HTTP status that the provider answered with; Amazon SES hides it in botocore's error."""
    answer = getattr(error.__cause__, "response", None)
    status = getattr(error, "status_code", None)
    if isinstance(answer, dict):
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status if isinstance(status, int) else None


def provider_code(error: Exception) -> str:
    """The provider's own code for what is wrong, or ""."""
    answer = getattr(error.__cause__, "response", None)
    if isinstance(answer, dict):
        return str(answer.get("Error", {}).get("Code", ""))
    body = body_of(error)
    data = body.get("data")
    nested = data.get("code") if isinstance(data, dict) else None
    return str(body.get("ErrorCode") or body.get("code") or nested or body.get("name") or "")


def body_of(error: Exception) -> dict[str, Any]:
    try:
        body = error.response.json()  # type: ignore[attr-defined]
    except (AttributeError, ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def words_of(error: Exception) -> str:
    return str(getattr(getattr(error, "response", None), "text", "") or "")
