"""Reports about no message that we know: they find it when the provider's ids are committed, or are forgotten."""

from collections.abc import Collection
from datetime import timedelta

from django.db import router, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from emails import fates
from emails.models import EmailEvent, EmailRecipient
from emails.providers import PROVIDERS
from emails.reports import Report
from emails.tracking import match, suppress

KEPT = timedelta(days=7)  # How long a report may wait for a message of ours.
LATELY = timedelta(minutes=2)


def adopt(provider: str, message_ids: Collection[str] | None = None) -> int:
    """Reports that were quicker than our commit find their messages; returns how many did.

    Of those that came lately, or of those with one of `message_ids`, which a worker has just committed.
    """
    using = router.db_for_write(EmailEvent)
    waiting = EmailEvent.objects.using(using).filter(email=None, provider=provider)
    # What waits longer is about messages of others, but for those whose worker commits late.
    lately = Q(recorded_at__gt=timezone.now() - LATELY) & ~Q(message_id="")
    if message_ids is None:
        known = EmailRecipient.objects.using(using).filter(message_id=OuterRef("message_id")).exclude(message_id="")
        waiting = waiting.filter(Exists(known))
    waiting = waiting.filter(lately if message_ids is None else Q(message_id__in=message_ids))
    orphans = list(waiting.order_by("-recorded_at")[:1000])
    if not orphans or provider not in PROVIDERS:
        return 0
    with transaction.atomic(using=using):
        reports = {event.pk: as_report(event) for event in orphans}
        matches = match(PROVIDERS[provider], list(reports.values()), using)
        found = [event for event in orphans if matches[event.dedupe_key].email is not None]
        emails = fates.lock({match.email for match in matches.values() if match.email is not None})
        for event in found:
            event.email_id, event.recipient_id = matches[event.dedupe_key][:2]
            event.detail = {name: value for name, value in event.detail.items() if name not in {"to", "hard"}}
        EmailEvent.objects.using(using).bulk_update(found, ["email", "recipient", "detail"], batch_size=200)
        fates.write(emails)
        suppress([(e.dedupe_key, reports[e.pk], matches[e.dedupe_key].address) for e in found], using)
    return len(found)


def as_report(event: EmailEvent) -> Report:
    return Report(
        type=event.type,
        at=None if event.detail.get("undated") else event.occurred_at,
        event_id=event.event_id,
        message_id=event.message_id,
        recipient=event.detail.get("to", ""),
        ref=None,
        key=event.dedupe_key,
        fingerprint=event.detail.get("print", ""),
        hard=bool(event.detail.get("hard")),
    )


def forget() -> None:
    """Reports about messages of others, who send through the same account."""
    old = EmailEvent.objects.filter(email=None, recorded_at__lt=timezone.now() - KEPT).values_list("pk", flat=True)
    while some := list(old[:1000]):
        EmailEvent.objects.filter(pk__in=some).delete()
