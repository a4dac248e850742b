"""What became of mail by kind, provider, recipient's domain and reason: counted day by day, and summed over any days.

Messages are counted once, by kind and by provider; domains count recipients. How long delivery took is kept as a
histogram, whose medians and percentiles are right within an eighth.
"""

import math
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from django.utils import timezone

from emails import overview, tasks
from emails.models import DayCount, EmailEvent, EmailLog
from emails.models.daycount import bounds

By = DayCount.By
DETAILED = (By.KIND, By.PROVIDER, By.DOMAIN, By.REASON)
RATIO = 1.25  # From one bucket of the histogram to the next.
MOST = {By.DOMAIN: 100, By.REASON: 20}  # A day, the most frequent; the others are summed as "".
BATCH = 2_000
FRESH = timedelta(minutes=5)  # For how long today's figures are taken as they are.
ADDRESS, NUMBER = re.compile(r"\S+@\S+"), re.compile(r"\d{6,}|[0-9a-f-]{20,}", re.IGNORECASE)
LONGEST_REASON = 160


@dataclass
class Figures:
    """What became of some mail."""

    counts: Counter[str] = field(default_factory=Counter)  # By EmailLog.status.
    took: Counter[int] = field(default_factory=Counter)  # By bucket.

    @property
    def total(self) -> int:
        return self.counts.total()

    def of(self, *statuses: str) -> int:
        return sum(self.counts[status] for status in statuses)

    @property
    def left(self) -> int:
        """What has left, whatever came of it."""
        return self.of(*overview.OUT)

    def percent(self, *statuses: str) -> float | None:
        """Their share of what has left; None where nothing has."""
        return 100 * self.of(*statuses) / self.left if self.left else None

    def took_at_most(self, share: float) -> float | None:
        """Seconds within which this share of deliveries was reported; None where none was."""
        wanted, seen = math.ceil(share * self.took.total()), 0
        for bucket in sorted(self.took):
            seen += self.took[bucket]
            if seen >= wanted:
                return seconds(bucket)
        return None

    def add(self, other: "Figures") -> None:
        self.counts.update(other.counts)
        self.took.update(other.took)


def bucket(took: float) -> int:
    """Which bucket so many seconds fall into: 0 is up to one second, each next one a quarter longer."""
    return max(0, math.ceil(math.log(max(took, 1.0), RATIO)))


def seconds(number: int) -> float:
    """The middle of a bucket, in seconds."""
    return float(RATIO ** (number - 0.5)) if number else 0.5


Found = dict[str, dict[str, Figures]]


def count(day: date) -> None:
    """Count one day anew, in a single pass over its messages."""
    begin, end = bounds(day)
    rows = EmailLog.objects.filter(created_at__gte=begin, created_at__lt=end).order_by("pk")
    found: Found = {by: defaultdict(Figures) for by in DETAILED}
    for messages in batches(rows):
        unhappy = {pk for pk, message in messages.items() if message["status"] in overview.LOST}
        reasons = told_reasons(unhappy)
        for pk, message in messages.items():
            status = message["status"]
            found[By.KIND][message["kind"]].counts[status] += 1
            found[By.PROVIDER][message["provider"]].counts[status] += 1
            if pk in unhappy:
                found[By.REASON][reason(reasons.get(pk) or message["error"])].counts[status] += 1
            for address, delivery, took in message["recipients"]:
                here = found[By.DOMAIN][address.rpartition("@")[2][:255]]
                here.counts[delivery or status] += 1
                if took is not None:
                    for figures in (here, found[By.KIND][message["kind"]], found[By.PROVIDER][message["provider"]]):
                        figures.took[bucket(took)] += 1
    mark = DayCount(day=day, by=By.COUNTED)  # It may have had no mail.
    DayCount.roll_up(day, [*DETAILED, By.COUNTED], [mark, *as_rows(day, found)])


def batches(rows: Any) -> Iterator[dict[int, dict[str, Any]]]:
    """Messages by primary key, with their recipients, some at a time."""
    names = ("pk", "kind", "provider", "state", "delivery", "error", "sent_at")
    of_recipient = ("recipients__address", "recipients__delivery", "recipients__delivery_at")
    some: dict[int, dict[str, Any]] = {}
    for pk, kind, provider, state, delivery, error, sent_at, *recipient in rows.values_list(
        *names, *of_recipient
    ).iterator(BATCH):
        if pk not in some:
            if len(some) >= BATCH:
                yield some
                some = {}
            message = {"kind": kind, "provider": provider, "status": delivery or state, "error": error}
            some[pk] = {**message, "recipients": []}
        address, reported, at = recipient
        if address:
            took = (at - sent_at).total_seconds() if reported == "delivered" and at and sent_at else None
            some[pk]["recipients"].append((address, reported, took))
    yield some


def told_reasons(emails: Iterable[int]) -> dict[int, str]:
    """By message: the provider's words for what became of it, the last ones."""
    events = EmailEvent.objects.filter(email__in=list(emails), reported=True, type__in=list(overview.LOST))
    told = events.order_by("occurred_at", "pk").values_list("email_id", "detail")
    return {email: str(detail.get("error") or detail.get("reason") or "") for email, detail in told if email}


def reason(text: str) -> str:
    """What different recipients' errors have in common: without addresses, ids and line breaks."""
    return NUMBER.sub("…", ADDRESS.sub("…", " ".join(text.split())))[:LONGEST_REASON].strip(" .:")


def as_rows(day: date, found: Found) -> Iterator[DayCount]:
    for by, figures in found.items():
        ranked = sorted(figures.items(), key=lambda item: -item[1].total)
        if by in MOST:
            named = [(value, one) for value, one in ranked if value]
            rest = Figures()
            for _value, one in [*named[MOST[By(by)] :], *((value, one) for value, one in ranked if not value)]:
                rest.add(one)
            ranked = [*named[: MOST[By(by)]], *([("", rest)] if rest.total else [])]
        for value, one in ranked:
            yield DayCount(day=day, by=by, value=value, counts=one.counts, took=one.took)


def of_days(first: date, last: date, by: Sequence[str] = DETAILED) -> dict[str, dict[str, Figures]]:
    """What is counted of these days, both included: {by: {value: Figures}}."""
    found: Found = {name: defaultdict(Figures) for name in by}
    rows = DayCount.objects.filter(day__gte=first, day__lte=last, by__in=by)
    for name, value, counts, took in rows.values_list("by", "value", "counts", "took").iterator():
        found[name][value].counts.update(counts)
        found[name][value].took.update({int(bucket): number for bucket, number in took.items()})
    return found


def uncounted(first: date, last: date) -> list[date]:
    """Which of these days are not counted yet, the newest first; today is, where it was a moment ago."""
    today = timezone.localdate(timezone.now(), timezone.get_default_timezone())
    marks = DayCount.objects.filter(day__gte=first, day__lte=last, by=By.COUNTED)
    known = {day for day, at in marks.values_list("day", "counted_at") if day < today or at > timezone.now() - FRESH}
    days = [last - timedelta(days=back) for back in range((last - first).days + 1)]
    return [day for day in days if day not in known]


def ensure(first: date, last: date, seconds: float) -> list[date]:
    """Count what is not counted of these days, for so long at most; returns the days that are left."""
    until = time.monotonic() + seconds
    left = uncounted(first, last)
    while left and time.monotonic() < until:
        count(left.pop(0))
    return left


@tasks.task()
def count_daily() -> None:
    """What the last days have come to since; then days that nobody has counted, a slice of time after the other."""
    today = timezone.localdate(timezone.now(), timezone.get_default_timezone())
    lately = today - timedelta(days=overview.AGAIN)
    DayCount.objects.filter(day__gte=lately, day__lt=today, by=By.COUNTED).delete()
    count_missing()


def count_missing() -> None:
    today = timezone.localdate(timezone.now(), timezone.get_default_timezone())
    if ensure(today - timedelta(days=overview.DAYS), today - timedelta(days=1), tasks.SLICE):
        go_on.enqueue()


@tasks.task()
def go_on() -> None:
    count_missing()
