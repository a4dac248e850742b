"""A provider's reports find their messages, are kept once each, and become what staff read.

A batch is one transaction of a bounded number of statements. What is about no message that we know is kept without one,
and finds it when the provider's ids are committed: a webhook that is quicker than our own commit loses nothing.
"""

import logging
import time
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from django.conf import settings
from django.db import router, transaction
from django.utils import timezone

from emails import fates
from emails.addresses import bare
from emails.models import EmailEvent, EmailLog, EmailRecipient, Lane, Suppression
from emails.providers import Provider
from emails.reports import Report, token_key

logger = logging.getLogger(__name__)

FRESH = 5.0  # Seconds; how old the lane's last report may grow before this process writes it again.
_seen_at: dict[str, float] = {}


class Match(NamedTuple):
    email: int | None = None
    recipient: int | None = None
    address: str = ""  # The recipient's, where the report names it.


NOBODY = Match()


def ingest(provider: Provider, reports: Sequence[Report]) -> bool:
    """Keep the reports and write what they come to, in one transaction; False where one contradicts what is kept.

    That is where something else stands under a key that the provider signs for one report alone. Raises the database's
    errors: the provider is to come again then.
    """
    using = router.db_for_write(EmailEvent)
    with transaction.atomic(using=using, durable=True):
        once = {report.key: report for report in reports}
        known = dict(
            EmailEvent.objects.using(using).filter(dedupe_key__in=list(once)).values_list("dedupe_key", "detail__print")
        )
        new = [report for key, report in once.items() if key not in known]
        honest = all(known.get(report.key, report.fingerprint) == report.fingerprint for report in reports)
        if provider.webhook is not None and not provider.webhook.signs_body and not honest:
            return False
        matches = match(provider, new, using)
        if provider.webhook is not None and not provider.webhook.signs_body:
            new = [report for report in new if not said_before(report, matches[report.key].email, using)]
        emails = fates.lock({found.email for found in matches.values() if found.email is not None})
        events = {report.key: event_of(provider, report, matches[report.key]) for report in new}
        EmailEvent.objects.using(using).bulk_create(events.values(), ignore_conflicts=True)
        if provider.webhook is not None and not provider.webhook.signs_body and not all_ours(new, using):
            transaction.set_rollback(True, using=using)  # Another request was quicker, with something else.
            return False
        fates.write(emails)
        suppress([(report.key, report, matches[report.key].address) for report in new], using)
        seen(provider)
    return True


def said_before(report: Report, email: int | None, using: str) -> bool:
    """Whether the same was reported under another signature: a provider may sign anew when it comes again."""
    if email is None:
        return False
    kept = EmailEvent.objects.using(using).filter(email=email, reported=True, detail__print=report.fingerprint)
    return kept.exists()


def all_ours(reports: Sequence[Report], using: str) -> bool:
    """Whether what is kept under the reports' keys is what they say."""
    kept = EmailEvent.objects.using(using).filter(dedupe_key__in=[report.key for report in reports])
    prints = dict(kept.values_list("dedupe_key", "detail__print"))
    return all(prints.get(report.key) == report.fingerprint for report in reports)


def match(provider: Provider, reports: Sequence[Report], using: str) -> dict[str, Match]:
    """By report's key: the message and the recipient that it is about, by our reference, else by the provider's id."""
    refs = {report.ref for report in reports if report.ref}
    by_ref = dict(EmailLog.objects.using(using).filter(ref__in=refs).values_list("ref", "pk")) if refs else {}
    ids = {report.message_id for report in reports if report.message_id and report.ref not in by_ref}
    by_id = messages_by_id(provider.key, ids, using) if ids else {}
    emails = {report.key: (report.ref and by_ref.get(report.ref)) or found_by_id(report, by_id) for report in reports}
    recipients: dict[int, list[tuple[int, str]]] = {}
    rows = EmailRecipient.objects.using(using).filter(email__in={pk for pk in emails.values() if pk}).order_by("pk")
    for email, pk, address in rows.values_list("email_id", "pk", "address"):
        recipients.setdefault(email, []).append((pk, address))
    named = provider.webhook is None or provider.webhook.names_recipient
    return {report.key: among(emails[report.key], report.recipient, recipients, named=named) for report in reports}


def messages_by_id(provider: str, ids: Collection[str], using: str) -> dict[str, list[tuple[int, str]]]:
    """(message, address) of the recipients that have one of the provider's ids; of the messages, where none has."""
    found: dict[str, list[tuple[int, str]]] = {}
    # Said once more, since PostgreSQL does not see that the index has all of more than a hundred.
    rows = EmailRecipient.objects.using(using).filter(message_id__in=ids, email__provider=provider)
    rows = rows.exclude(message_id="")
    for message_id, email, address in rows.values_list("message_id", "email_id", "address"):
        found.setdefault(message_id, []).append((email, address))
    alone = EmailLog.objects.using(using).filter(message_id__in=set(ids) - found.keys(), provider=provider)
    alone = alone.exclude(message_id="")
    for message_id, email in alone.values_list("message_id", "pk"):
        found.setdefault(message_id, []).append((email, ""))
    return found


def found_by_id(report: Report, by_id: dict[str, list[tuple[int, str]]]) -> int | None:
    candidates = by_id.get(report.message_id, [])
    named = [email for email, address in candidates if address == report.recipient]
    several = {email for email, _ in candidates}
    # An id of several messages is none, but for the one to this recipient.
    return named[0] if named else next(iter(several)) if len(several) == 1 else None


def among(email: int | None, address: str, recipients: dict[int, list[tuple[int, str]]], *, named: bool) -> Match:
    if email is None:
        return NOBODY
    reached = recipients.get(email, [])
    for pk, known in reached:
        if known == address and (named or len(reached) == 1):
            return Match(email, pk, address)
        if known == address:
            return Match(email, pk)  # The first of several, whoever is meant.
    if address and address == bare(settings.EMAILS["REDIRECT_TO"]) and reached:
        return Match(email, reached[0][0])  # It got what all of them would have got.
    # Only one can be meant, however the provider spells it; but nothing is held against an address it does not name.
    return Match(email, reached[0][0]) if len(reached) == 1 else Match(email)


def event_of(provider: Provider, report: Report, found: Match) -> EmailEvent:
    detail: dict[str, Any] = {**report.detail, "print": report.fingerprint}
    if report.at is None:
        detail["undated"] = True
    if found.recipient is None:
        detail |= {"to": report.recipient, "hard": report.hard}  # To be read, or to find its recipient by, later.
    return EmailEvent(
        email_id=found.email,
        recipient_id=found.recipient,
        type=report.type,
        occurred_at=report.at or timezone.now(),
        provider=provider.key,
        event_id=report.event_id,
        message_id=report.message_id,
        reported=True,
        dedupe_key=report.key,
        detail=detail,
    )


def suppress(reports: Iterable[tuple[str, Report, str]], using: str) -> None:
    """Let no more mail go to addresses that bounce for good, or whose owner has called our mail spam."""
    reasons = Suppression.Reason
    marks: dict[str, tuple[str, Report, str]] = {}
    for key, report, address in reports:
        if address and (report.type == "complained" or report.hard):
            reason = reasons.COMPLAINED if report.type == "complained" else reasons.BOUNCED
            if address not in marks or reason == reasons.BOUNCED:
                marks[address] = (key, report, reason)
    if not marks:
        return
    lifted = Suppression.lifted_since(list(marks))
    events = dict(
        EmailEvent.objects.using(using)
        .filter(dedupe_key__in=[key for key, _, _ in marks.values()])
        .values_list("dedupe_key", "pk")
    )
    fresh = {
        address: (events.get(key), reason)
        for address, (key, report, reason) in marks.items()
        if address not in lifted or report.at is None or report.at > lifted[address]
    }
    Suppression.objects.using(using).bulk_create(
        [Suppression(address=address, reason=reason, event_id=event) for address, (event, reason) in fresh.items()],
        ignore_conflicts=True,
    )
    # What let mail through that guards an account becomes what keeps everything away.
    bounced = [address for address, (_, reason) in fresh.items() if reason == reasons.BOUNCED]
    Suppression.objects.using(using).filter(address__in=bounced, lifted_at=None).update(reason=reasons.BOUNCED)


def remember(provider: Provider, token: str) -> None:
    """Whatever was said under this token: nothing else may be, though what was said is of no interest."""
    EmailEvent.objects.bulk_create(
        [EmailEvent(type="token", provider=provider.key, dedupe_key=token_key(provider, token), detail={"print": "-"})],
        ignore_conflicts=True,
    )


def seen(provider: Provider) -> None:
    """Keep the time of the lane's last report fresh, without a query for every report."""
    if time.monotonic() - _seen_at.get(provider.key, float("-inf")) > FRESH:
        _seen_at[provider.key] = time.monotonic()
        Lane.objects.get_or_create(key=provider.key)
        Lane.objects.filter(key=provider.key).update(last_webhook_at=timezone.now())
