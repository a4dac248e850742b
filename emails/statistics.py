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
from emails.models.daycount import bounds, day_of, today

By = DayCount.By
DETAILED = (By.KIND, By.PROVIDER, By.DOMAIN, By.REASON)
RATIO = 1.25  # From one bucket of the histogram to the next.
MOST = {By.DOMAIN: 100, By.REASON: 20}  # A day, the most frequent; the others are summed as "".
REASONS = 5  # Kept of a kind, a provider or a domain a day.
BATCH = 2_000
HALF_A_DAY = timedelta(hours=12)
FRESH = timedelta(minutes=5)  # For how long today's figures are taken as they are.
ADDRESS, NUMBER = re.compile(r"\S+@\S+"), re.compile(r"\d{6,}|[0-9a-f-]{20,}", re.IGNORECASE)
LONGEST_REASON = 160


@dataclass
class Figures:
    """What became of some mail."""

    counts: Counter[str] = field(default_factory=Counter)  # By EmailLog.status.
    took: Counter[int] = field(default_factory=Counter)  # By bucket.
    reasons: Counter[str] = field(default_factory=Counter)  # Why it was lost, in words.

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
        self.reasons.update(other.reasons)


def bucket(took: float) -> int:
    """Which bucket so many seconds fall into: 0 is up to one second, each next one a quarter longer."""
    return max(0, math.ceil(math.log(max(took, 1.0), RATIO)))


def seconds(number: int) -> float:
    """The middle of a bucket, in seconds."""
    return float(RATIO ** (number - 0.5)) if number else 0.5


Found = dict[str, dict[str, Figures]]


def count(day: date) -> None:
    """Count one day anew, in a single pass over its messages."""
    began = timezone.now()  # What changes while it is counted may be missing.
    begin, end = bounds(day)
    # In the order of an index, so that nobody sorts ten million rows for one day.
    rows = EmailLog.objects.filter(created_at__gte=begin, created_at__lt=end).order_by("created_at", "pk")
    found: Found = {by: defaultdict(Figures) for by in DETAILED}
    for messages in batches(rows):
        told = told_reasons(pk for pk, message in messages.items() if message["status"] in overview.LOST)
        for pk, message in messages.items():
            add(found, message, told.get(pk, ""))
    mark = DayCount(day=day, by=By.COUNTED, counted_at=began)  # It may have had no mail.
    DayCount.roll_up(day, [*DETAILED, By.COUNTED], [mark, *as_rows(day, found)])


def add(found: Found, message: dict[str, Any], told: str) -> None:
    """One message more; `told` is what the provider said of it."""
    status = message["status"]
    mine = (found[By.KIND][message["kind"]], found[By.PROVIDER][message["provider"]])
    why = reason(told or message["error"]) if status in overview.LOST else None
    for figures in mine:
        figures.counts[status] += 1
    if why is not None:
        found[By.REASON][why].counts[status] += 1
        for figures in mine:
            figures.reasons[why] += 1
    for address, fate, took in message["recipients"]:
        here = found[By.DOMAIN][address.rpartition("@")[2][:255]]
        here.counts[fate] += 1
        if why is not None and fate in overview.LOST:
            here.reasons[why] += 1
        if took is not None:
            for figures in (here, *mine):
                figures.took[bucket(took)] += 1


def batches(rows: Any) -> Iterator[dict[int, dict[str, Any]]]:
    """Messages by primary key, with their recipients, some at a time."""
    names = ("pk", "kind", "provider", "state", "delivery", "error", "sent_at")
    of_recipient = ("address", "delivery", "delivery_at", "suppressed")
    some: dict[int, dict[str, Any]] = {}
    values = rows.values_list(*names, *(f"recipients__{name}" for name in of_recipient))
    for pk, kind, provider, state, delivery, error, sent_at, *recipient in values.iterator(BATCH):
        if pk not in some:
            if len(some) >= BATCH:
                yield some
                some = {}
            message = {"kind": kind, "provider": provider, "status": delivery or state, "error": error}
            some[pk] = {**message, "recipients": []}
        address, reported, at, suppressed = recipient
        if address:
            took = (at - sent_at).total_seconds() if reported == "delivered" and at and sent_at else None
            # One without a report has left with the message, and no more is known of it.
            fate = "suppressed" if suppressed else reported or state
            some[pk]["recipients"].append((address, fate, took))
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
            reasons = dict(one.reasons.most_common(REASONS))
            yield DayCount(day=day, by=by, value=value, counts=one.counts, took=one.took, reasons=reasons)


def of_days(first: date, last: date, by: Sequence[str] = DETAILED) -> dict[str, dict[str, Figures]]:
    """What is counted of these days, both included: {by: {value: Figures}}."""
    found: Found = {name: defaultdict(Figures) for name in by}
    rows = DayCount.objects.filter(day__gte=first, day__lte=last, by__in=by)
    for name, value, counts, took, reasons in rows.values_list("by", "value", "counts", "took", "reasons").iterator():
        found[name][value].counts.update(counts)
        found[name][value].took.update({int(bucket): number for bucket, number in took.items()})
        found[name][value].reasons.update(reasons)
    return found


def oldest() -> date:
    """The first day of which anything is known."""
    written = EmailLog.objects.order_by("created_at").values_list("created_at", flat=True).first()
    return day_of(written) if written else today()


def uncounted(first: date, last: date) -> list[date]:
    """Which of these days are not counted yet, the newest first. A day is once it was counted after its end."""
    first, last = max(first, oldest()), min(last, today())
    marks = DayCount.objects.filter(day__gte=first, day__lte=last, by=By.COUNTED).values_list("day", "counted_at")
    fresh = timezone.now() - FRESH
    known = {day for day, at in marks if at >= bounds(day)[1] or at > fresh}
    days = [last - timedelta(days=back) for back in range((last - first).days + 1)]
    return [day for day in days if day not in known]


def ensure(first: date, last: date, seconds: float) -> list[date]:
    """Count what is not counted of these days, for about so long; returns the days that are left."""
    until = time.monotonic() + seconds
    left = uncounted(first, last)
    while left and time.monotonic() < until:
        count(left.pop(0))
    return left


@tasks.task()
def count_daily() -> None:
    """What the last days have come to since; then days that nobody has counted. Every worker asks for it once a day."""
    lately = DayCount.objects.filter(day__gte=today() - timedelta(days=overview.again()), by=By.COUNTED)
    lately.filter(counted_at__lt=timezone.now() - HALF_A_DAY).delete()
    count_missing.func()


@tasks.task()
def count_missing() -> None:
    """A slice of time; the next task goes on."""
    if ensure(oldest(), today() - timedelta(days=1), tasks.SLICE):
        count_missing.enqueue()
