"""Addresses that bounced for good or complained get no more mail: seen to at recording, and before leaving."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_noop

from emails.kinds import KINDS
from emails.models import EmailEvent, EmailLog, EmailRecipient, State, Suppression
from emails.signals import announce, email_failed

# Stored in English, and translated where staff read them.
REASONS = {
    Suppression.Reason.BOUNCED: gettext_noop("The address is suppressed: mail to it bounced for good."),
    Suppression.Reason.COMPLAINED: gettext_noop("The address is suppressed: its owner reported our mail as spam."),
}


def bars(reason: str | None, kind: str) -> bool:
    """Whether a suppression keeps mail of this kind away: what guards an account still goes to who complained."""
    if not reason:
        return False
    known = KINDS.get(kind)
    return not (reason == Suppression.Reason.COMPLAINED and known is not None and known.security)


def nobody_left(recipients: Sequence[Any]) -> bool:
    """Whether all whom a message is addressed to are left out; copies alone make no message."""
    addressed = [recipient for recipient in recipients if recipient.field == "to"] or recipients
    return all(recipient.suppressed for recipient in addressed)


def words(reasons: Iterable[str]) -> str:
    return REASONS[Suppression.Reason(next(iter(reasons)))]


def leave_out(emails: list[EmailLog], now: datetime) -> list[EmailLog]:
    """Mark recipients that are suppressed by now, and settle messages that nobody is left of; returns the others.

    In the transaction of the claim. What may have left before keeps its recipients: a provider that knows it again by
    our key wants the same bytes.
    """
    left, marked, events = [], [], []
    for email in emails:
        barred = {r.pk for r in email.reached if bars(r.barred, email.kind)} if not email.doubtful else set()
        marked += [pk for pk in barred if pk not in {r.pk for r in email.reached if r.suppressed}]
        email.reached = [r._replace(suppressed=r.suppressed or r.pk in barred) for r in email.reached]
        if not barred or not nobody_left(email.reached):
            left.append(email)
            continue
        reason = words(r.barred for r in email.reached if r.barred)
        held = EmailLog.objects.held_under(email.attempt_token, State.CLAIMED).filter(pk=email.pk)
        held.update(state=State.SUPPRESSED, error=reason, lease_until=None)
        events.append(EmailEvent.of_attempt(email, State.SUPPRESSED, {"error": reason}, now))
    if marked:
        EmailRecipient.objects.filter(pk__in=marked).update(suppressed=True)
        EmailEvent.objects.bulk_create(events)
        announce(email_failed, {event.email_id: {} for event in events if event.email_id}, EmailLog.objects.db)
    return left
