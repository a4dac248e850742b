"""What the front page tells of all mail: cheap however long the log is, and a minute old at most."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db.models import Count, Q
from django.utils import timezone

from emails.kinds import KINDS
from emails.models import DayCount, EmailLog, State
from emails.models.daycount import bounds, day_of, today
from emails.models.recipient import DELIVERY_TROUBLE
from emails.models.state import TROUBLE
from emails.models.status import STATUS

KEY, SECONDS = "emails.overview", 60
DAYS = 30
MOST_WAITING = 100_000  # Counted no further.
AGAIN = 7  # Days back for which reports may well still come, so that they are counted anew each day.
DELIVERED = ("delivered",)
LOST = {*TROUBLE, *DELIVERY_TROUBLE}  # As the list that the figure leads to: NEEDS_ATTENTION.
OUT = ("sent", "deferred", *DELIVERED, "bounced", "rejected", "complained")  # It has left, whatever came of it.
BOUNCED = ("bounced", "rejected")
MOST_BOUNCES, AT_LEAST = 0.05, 200  # Above this share of so many, providers begin to refuse a sender.


@dataclass(frozen=True)
class Day:
    day: date
    delivered: int
    other: int  # Sent without a report, or on its way.
    lost: int

    @property
    def total(self) -> int:
        return self.delivered + self.other + self.lost


@dataclass(frozen=True)
class Overview:
    sent: int  # In 24 hours, as all of these.
    delivered: int | None  # Percent of what has left; None where nothing has.
    lost: int
    waiting: int
    oldest: int  # Seconds that what is due has waited.
    bouncing: bool
    days: list[Day]

    @property
    def most(self) -> int:
        return max([day.total for day in self.days] or [0])


def overview() -> Overview:
    """The one of this minute."""
    found: Overview | None = cache.get(KEY)
    if found is None:
        found = look()
        cache.set(KEY, found, SECONDS)
    return found


def look() -> Overview:
    now = timezone.now()
    lately, today = newest(now)
    left, bounced = total(lately, OUT), total(lately, BOUNCED)
    waiting = EmailLog.objects.order_by().unsettled()[: MOST_WAITING + 1].count()
    return Overview(
        sent=left,
        delivered=round(100 * total(lately, DELIVERED) / left) if left else None,
        lost=total(lately, LOST),
        waiting=waiting,
        oldest=EmailLog.objects.waiting_seconds() if waiting else 0,
        bouncing=left >= AT_LEAST and bounced > MOST_BOUNCES * left,
        days=[picture_of(day, found) for day, found in month(day_of(now), today).items()],
    )


def picture_of(day: date, found: dict[str, int]) -> Day:
    lost, delivered = total(found, LOST), total(found, DELIVERED)
    never = total(found, (State.SKIPPED, State.CANCELLED))  # Not meant to leave, or not any more.
    return Day(day, delivered, sum(found.values()) - lost - delivered - never, lost)


def newest(now: datetime) -> tuple[dict[str, int], dict[str, int]]:
    """Messages of the last 24 hours and of today, by status: both read at once, since they are mostly the same."""
    begin, midnight = now - timedelta(hours=24), bounds(day_of(now))[0]
    rows = EmailLog.objects.filter(created_at__gte=min(begin, midnight), created_at__lt=now).order_by()
    of_both = rows.values_list(STATUS).annotate(
        lately=Count("pk", filter=Q(created_at__gte=begin)), today=Count("pk", filter=Q(created_at__gte=midnight))
    )
    found: list[Any] = list(of_both)
    return {status: number for status, number, _ in found}, {status: number for status, _, number in found}


def month(last: date, today: dict[str, int]) -> dict[date, dict[str, int]]:
    """The last 30 days, oldest first: finished ones as they were counted, and today's."""
    days = [last - timedelta(days=back) for back in range(DAYS - 1, 0, -1)]
    known = DayCount.of(days)
    for day in days:
        if day not in known:
            known[day] = roll_up(day)
    return {day: known[day] for day in days} | {last: today}


def roll_up(day: date) -> dict[str, int]:
    found = counts(*bounds(day))
    DayCount.roll_up(day, [DayCount.By.ALL], [DayCount(day=day, counts=found)])
    return found


def again() -> int:
    """For how many days back; not so long that something of them is forgotten already."""
    kept = [kind.keep_days for kind in KINDS.values() if kind.keep_days is not None]
    return int(min([AGAIN, settings.EMAILS["LOG_RETENTION"].days, *kept]))


def roll_up_lately() -> None:
    """Daily: what the last days have come to since."""
    for back in range(1, again() + 1):
        roll_up(today() - timedelta(days=back))


def counts(begin: datetime, end: datetime) -> dict[str, int]:
    """Messages written from `begin` to before `end`, by status."""
    rows = EmailLog.objects.filter(created_at__gte=begin, created_at__lt=end).order_by()
    found: Any = rows.values_list(STATUS).annotate(number=Count("pk"))
    return dict(found)


def total(found: dict[str, int], statuses: Any) -> int:
    return sum(found.get(str(status), 0) for status in statuses)
