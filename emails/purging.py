"""What is old is forgotten: bodies first, then whole rows, in small transactions, never what may still be in flight."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from emails import statistics, tasks
from emails.kinds import KINDS
from emails.models import EmailAttachment, EmailEvent, EmailLog, EmailRecipient, LegalHold, State, Tombstone
from emails.models.daycount import day_of, today

ENDED = (State.SENT, State.FAILED, State.SUPPRESSED, State.SKIPPED, State.CANCELLED, State.EXPIRED)
BATCH = 500
Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class Purged:
    bodies: int
    rows: int
    more: bool  # Whether the time was over before all was done.


@tasks.task()
def purge_daily() -> None:
    """A slice of the day's purge; the next task goes on."""
    if purge(seconds=tasks.SLICE).more:
        purge_daily.enqueue()


def older_than(setting: str, override: str, now: datetime) -> Q:
    """Messages past their time: that of their kind, where it has one of its own, or the setting's."""
    own = {key: getattr(kind, override) for key, kind in KINDS.items() if getattr(kind, override) is not None}
    past = ~Q(kind__in=list(own)) & Q(created_at__lt=now - settings.EMAILS[setting])
    for key, days in own.items():
        past |= Q(kind=key, created_at__lt=now - timedelta(days=days))
    return past


def purgeable() -> QuerySet[EmailLog]:
    """Ended, and about nobody who is held."""
    return EmailLog.objects.filter(state__in=ENDED).exclude(user__in=LegalHold.people()).order_by("created_at")


def without_use(now: datetime) -> QuerySet[EmailLog]:
    """Messages whose bodies are past their time."""
    return purgeable().filter(older_than("BODY_RETENTION", "keep_body_days", now), purged_at=None)


def outlived(now: datetime) -> QuerySet[EmailLog]:
    """Messages past their time as a whole."""
    return purgeable().filter(older_than("LOG_RETENTION", "keep_days", now))


def purge(seconds: float | None = None, progress: Progress = lambda what, number: None) -> Purged:
    """Do what is due, for `seconds` at most; `progress` is told of each batch."""
    now, until = timezone.now(), time.monotonic() + (float("inf") if seconds is None else seconds)
    bodies = rows = 0
    if count_first(now, until):  # What is forgotten can't be counted any more.
        return Purged(0, 0, more=True)
    for what, step in (("bodies", forget_bodies), ("rows", forget_rows)):
        while number := step(now):
            bodies, rows = (bodies + number, rows) if what == "bodies" else (bodies, rows + number)
            progress(what, number)
            if time.monotonic() > until:
                return Purged(bodies, rows, more=True)
    return Purged(bodies, rows, more=False)


def count_first(now: datetime, until: float) -> bool:
    """Count the days that rows are about to be taken from; whether the time was over before all were."""
    first = outlived(now).values_list("created_at", flat=True).first()
    if first is None:
        return False
    last = today() - timedelta(days=1)
    return bool(statistics.ensure(day_of(first), last, until - time.monotonic()))


def held(emails: QuerySet[EmailLog]) -> QuerySet[EmailLog]:
    """Against other workers, who purge on the same day: what two of them forgot would be counted twice."""
    return emails.select_for_update(skip_locked=connection.features.has_select_for_update_skip_locked)


def forget_bodies(now: datetime) -> int:
    with transaction.atomic():
        keys = list(held(without_use(now)).values_list("pk", flat=True)[:BATCH])
        EmailAttachment.objects.filter(email__in=keys).delete()
        ended = EmailLog.objects.filter(pk__in=keys, state__in=ENDED)
        ended.update(text="", html="", payload="", sealed="", purged_at=now)
    return len(keys)


def forget_rows(now: datetime) -> int:
    with transaction.atomic():
        found: list[Any] = list(
            held(outlived(now)).values_list("pk", "created_at", "kind", "state", "delivery")[:BATCH]
        )
        if not found:
            return 0
        keys = [pk for pk, *_ in found]
        days = ((timezone.localdate(created), kind, delivery or state) for _, created, kind, state, delivery in found)
        Tombstone.count_in(Counter(days), max(keys), now)
        EmailLog.objects.filter(resend_of__in=keys).update(resend_of=None)
        EmailEvent.objects.filter(email__in=keys).delete()
        for model in (EmailRecipient, EmailAttachment):
            model.objects.filter(email__in=keys).delete()
        EmailLog.objects.filter(pk__in=keys).delete()
    return len(keys)
