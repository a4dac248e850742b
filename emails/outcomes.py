"""How an attempt ended: what it means, what is kept of it, and what the provider told of each recipient."""

from dataclasses import dataclass, field
from smtplib import SMTPException, SMTPRecipientsRefused
from typing import Any

from anymail.exceptions import AnymailRecipientsRefused
from django.core.mail import EmailMessage
from django.utils import timezone

from emails.addresses import bare
from emails.payload import storable
from emails.verdicts import CONFIGURATION_CODES, TEMPORARY_CODES, Verdict, judge, perhaps_sent, retry_after
from emails.wording import explain


@dataclass(frozen=True)
class Outcome:
    verdict: Verdict
    error_class: str = ""
    error: str = ""
    # Bare address → (provider's message id, Anymail's status), where the provider told.
    recipients: dict[str, tuple[str, str]] = field(default_factory=dict)
    retry_after: float | None = None  # Seconds that the provider asks to wait.
    perhaps_sent: bool = False  # A server's error, which may hide an acceptance.
    asked: bool = True  # The provider was handed the message, so that the end says something of the provider.

    of_recipient: bool = False  # An SMTP server defers a recipient (greylisting), and is well itself.

    @property
    def of_message(self) -> bool:
        """Whether the provider has said something of the message, and so is alive."""
        return self.asked and self.verdict in {Verdict.ACCEPTED, Verdict.REFUSED, Verdict.PERMANENT}

    @property
    def message_id(self) -> str:
        return next((message_id for message_id, _ in self.recipients.values() if message_id), "")


def of_answer(message: EmailMessage, sent: int | None) -> Outcome:
    """The outcome where the backend returned. Its 1 is not success: Mailjet and Unisender Go report "failed" so."""
    recipients = statuses(message)
    told = {status for _, status in recipients.values()}
    if not told:
        if sent:
            return Outcome(Verdict.ACCEPTED)
        if not message.recipients():
            return Outcome(Verdict.PERMANENT, "NoRecipients", "It has no recipients.", asked=False)
        return Outcome(Verdict.CANCELLED, "", "Cancelled before sending.", asked=False)
    if told <= {"invalid", "rejected"}:
        return Outcome(Verdict.REFUSED, "RecipientsRefused", "The provider refuses this address.", recipients)
    if told <= {"failed", "invalid", "rejected"}:
        return Outcome(of_failure(message), "Failed", "The provider could not send it.", recipients)
    return Outcome(Verdict.ACCEPTED, recipients=recipients)


def of_failure(message: EmailMessage) -> Verdict:
    """What it means that a provider reports "failed" for everybody, which Anymail does not raise."""
    try:
        answer = message.anymail_status.esp_response.json()  # type: ignore[attr-defined]
        codes = set(failure_codes(answer))
    except (AttributeError, TypeError, ValueError, RecursionError):
        return Verdict.PERMANENT
    if codes and codes <= TEMPORARY_CODES:
        return Verdict.TRANSIENT
    return Verdict.CONFIGURATION if codes & CONFIGURATION_CODES else Verdict.PERMANENT


def failure_codes(answer: Any) -> list[str]:
    """Unisender Go's {"failed_emails": {address: code}} and Mailjet's {"Messages": [{"Errors": [{"ErrorCode"}]}]}."""
    if not isinstance(answer, dict):
        return []
    failed = answer.get("failed_emails")
    codes = [str(code) for code in failed.values()] if isinstance(failed, dict) else []
    for message in answer.get("Messages") or []:
        codes += [str(error.get("ErrorCode", "")) for error in message.get("Errors") or []]
    return codes


def of_error(message: EmailMessage, error: Exception) -> Outcome:
    """The outcome where the backend raised `error`."""
    answered = bool(statuses(message))
    if answered and not isinstance(error, AnymailRecipientsRefused):
        # A post_send receiver raised after the provider accepted: its error must not make a second copy.
        return of_answer(message, 1)
    handed_over = getattr(message, "handed_over", False)
    verdict = judge(error, handed_over)
    if verdict is Verdict.ACCEPTED:
        return Outcome(verdict)
    return Outcome(
        verdict,
        type(error).__name__,
        explain(error),
        statuses(message),
        retry_after(error, timezone.now()),
        perhaps_sent=verdict is Verdict.TRANSIENT and perhaps_sent(error),
        asked=handed_over or isinstance(error, SMTPException),
        of_recipient=isinstance(error, SMTPRecipientsRefused) and 421 not in {c for c, _ in error.recipients.values()},
    )


def statuses(message: EmailMessage) -> dict[str, tuple[str, str]]:
    """Bare address in lower case → (message id, status), as far as the provider has told."""
    status = getattr(message, "anymail_status", None)
    return {
        bare(address): (storable(str(told.message_id or ""))[:255], told.status or "unknown")
        for address, told in (status.recipients.items() if status else ())
    }
