"""What the end of an attempt means: accepted, refused, to be tried again, or in doubt.

The rule behind the table: an exception before the request left is certainly not sent; one that tells the provider's own
answer is taken at its word; anything else after it left is ambiguous, and never retried blindly.
"""

import re
import traceback
from dataclasses import dataclass, field
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
from typing import Any

from anymail.exceptions import (
    AnymailAPIError,
    AnymailInvalidAddress,
    AnymailRecipientsRefused,
    AnymailUnsupportedFeature,
)
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError, SSLError

from emails.payload import storable

# What the provider says of itself and not of the message: an operator has to act, and no attempt is counted.
CONFIGURATION_CODES = {
    *("SendingPausedException", "AccountSuspendedException", "MailFromDomainNotVerifiedException"),  # Amazon SES
    *("10", "400", "401", "405"),  # Postmark: bad token, unknown or unconfirmed sender, no credits
}
SENDER_REFUSED = {530, 535, 538, 550, 553}  # SMTP: sign in first, or not with this sender


class Verdict(Enum):
    ACCEPTED = "accepted"
    REFUSED = "refused"  # The provider knows the address and will not send to it.
    TRANSIENT = "transient"  # Certainly not sent, worth another try.
    UNREACHABLE = "unreachable"  # As transient, but the provider was not even asked: no attempt is counted.
    THROTTLED = "throttled"  # As transient, but no fault of the message: no attempt is counted.
    CONFIGURATION = "configuration"  # As throttled: an operator has to act.
    PERMANENT = "permanent"  # Certainly not sent, and never will be.
    AMBIGUOUS = "ambiguous"  # Nobody knows whether it was sent.
    CANCELLED = "cancelled"  # Code of this project stopped it (Anymail's AnymailCancelSend).


@dataclass(frozen=True)
class Outcome:
    verdict: Verdict
    error_class: str = ""
    error: str = ""
    # Bare address → (provider's message id, Anymail's status), where the provider told.
    recipients: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def message_id(self) -> str:
        return next((message_id for message_id, _ in self.recipients.values() if message_id), "")


def of_answer(message: EmailMessage, sent: int | None) -> Outcome:
    """The outcome where the backend returned. Its 1 is not success: Mailjet and Unisender Go report "failed" so."""
    recipients = statuses(message)
    told = {status for _, status in recipients.values()}
    if not told:
        return Outcome(Verdict.ACCEPTED) if sent else Outcome(Verdict.CANCELLED, "", "Cancelled before sending.")
    if told <= {"invalid", "rejected"}:
        return Outcome(Verdict.REFUSED, "RecipientsRefused", "The provider refuses this address.", recipients)
    if told <= {"failed", "invalid", "rejected"}:
        return Outcome(Verdict.PERMANENT, "Failed", "The provider could not send it.", recipients)
    return Outcome(Verdict.ACCEPTED, recipients=recipients)


def of_error(message: EmailMessage, error: Exception) -> Outcome:
    """The outcome where the backend raised `error`."""
    answered = bool(statuses(message))
    if answered and not isinstance(error, AnymailRecipientsRefused):
        # A post_send receiver raised after the provider accepted: its error must not make a second copy.
        return of_answer(message, 1)
    verdict = judge(error, getattr(message, "handed_over", False))
    return Outcome(verdict, type(error).__name__, explain(error), statuses(message))


def judge(error: Exception, handed_over: bool) -> Verdict:
    status = status_code(error)
    match error:
        case AnymailRecipientsRefused():
            return Verdict.REFUSED
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
        case ImproperlyConfigured() | ImportError():
            return Verdict.AMBIGUOUS if handed_over else Verdict.CONFIGURATION
        case AnymailAPIError() if status is not None:
            return Verdict.CONFIGURATION if provider_code(error) in CONFIGURATION_CODES else of_status(status)
    if not handed_over:
        return Verdict.UNREACHABLE if isinstance(error, OSError | SMTPException) else Verdict.PERMANENT
    return Verdict.UNREACHABLE if never_connected(error) else Verdict.AMBIGUOUS


def of_status(status: int) -> Verdict:
    """What an HTTP status says. A 2xx that raised has a body nobody could read: it may well be accepted."""
    if 200 <= status < 300:
        return Verdict.AMBIGUOUS
    if status == 429:
        return Verdict.THROTTLED
    if status in {401, 402, 403}:
        return Verdict.CONFIGURATION
    return Verdict.TRANSIENT if status in {408, 425} or status >= 500 else Verdict.PERMANENT


def never_connected(error: Exception) -> bool:
    """Whether the connection failed before any byte of the request could leave: refused, no such host, bad certificate.

    Not every MaxRetryError does: urllib3 raises it too where TLS breaks while the answer is read.
    """
    causes: list[Any] = [error, error.__cause__, *getattr(error.__cause__, "args", ())]
    causes += [cause.reason for cause in causes if isinstance(cause, MaxRetryError)]
    for cause in causes:
        if isinstance(cause, NewConnectionError | ConnectTimeoutError | ConnectionRefusedError | gaierror):
            return True
        if isinstance(cause, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(cause):
            return True
        if type(cause).__name__ in {"EndpointConnectionError", "ConnectTimeoutError"}:  # botocore's, for Amazon SES
            return True
    return False


def status_code(error: Exception) -> int | None:
    """The HTTP status that the provider answered with; Amazon SES hides it in botocore's error."""
    answer = getattr(error.__cause__, "response", None)
    status = getattr(error, "status_code", None)
    if isinstance(answer, dict):
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if answer.get("Error", {}).get("Code") in {"TooManyRequestsException", "Throttling", "ThrottlingException"}:
            return 429
    return status if isinstance(status, int) else None


def provider_code(error: Exception) -> str:
    """The provider's own code for what is wrong, or ""."""
    answer = getattr(error.__cause__, "response", None)
    if isinstance(answer, dict):
        return str(answer.get("Error", {}).get("Code", ""))
    try:
        body = error.response.json()  # type: ignore[attr-defined]
    except (AttributeError, ValueError):
        return ""
    return str(body.get("ErrorCode", "")) if isinstance(body, dict) else ""


def frames(error: BaseException) -> str:
    """Where an error came from, for a log line; without its words, which may quote an address, a key or a row."""
    return f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}"


def explain(error: Exception) -> str:
    """The provider's words without addresses and keys; never the whole exception, which quotes the request."""
    response = getattr(error, "response", None)
    if isinstance(error, SMTPRecipientsRefused):
        words = "; ".join(f"{code} {as_text(said)}" for code, said in error.recipients.values())
    elif isinstance(error, SMTPResponseException):
        words = f"{error.smtp_code} {as_text(error.smtp_error)}"
    elif response is not None and hasattr(response, "text"):
        words = f"HTTP {response.status_code}: {response.text}"
    elif isinstance(response, dict):  # Amazon SES
        words = f"{response.get('Error', {}).get('Code', '')}: {response.get('Error', {}).get('Message', '')}"
    elif isinstance(error, OSError) and error.__cause__ is None and error.strerror:
        words = error.strerror
    elif isinstance(error, AnymailInvalidAddress | AnymailUnsupportedFeature):
        words = str(error.args[0]) if error.args else ""
    elif isinstance(error, ValueError | ImproperlyConfigured) and not hasattr(error, "payload"):
        words = str(error)
    elif isinstance(error.__cause__, Exception):
        words = type(error.__cause__).__name__
    else:
        words = str(error.args[0]) if error.args else ""
    return scrub(words)


def as_text(said: Any) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)


def scrub(words: str) -> str:
    """The first 500 characters, addresses and anything that looks like a key masked."""
    words = storable(words)
    words = re.sub(r"[^\s@\"'<>:,;()\[\]{}]+@[\w.-]+", "•••@•••", words)
    words = re.sub(r"[A-Za-z0-9_+/=-]{24,}", "••••", words)
    return " ".join(words.split())[:500]


def statuses(message: EmailMessage) -> dict[str, tuple[str, str]]:
    """Bare address in lower case → (message id, status), as far as the provider has told."""
    status = getattr(message, "anymail_status", None)
    return {
        address.lower(): (storable(str(told.message_id or ""))[:255], told.status or "unknown")
        for address, told in (status.recipients.items() if status else ())
    }
