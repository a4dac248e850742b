from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db import models, transaction
from django.db.models.functions import Now
from django.utils import timezone


class DayCount(models.Model):
    """How many messages of a day stand at which status: counted once a day, so that a picture reads no messages.

    Counted anew as long as reports may still come: a bounce arrives days after the message has left.
    """

    day = models.DateField()
    status = models.CharField(max_length=10)  # EmailLog.status
    count = models.PositiveIntegerField()
    counted_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["day", "status"], name="emails_daycount_one")]

    def __str__(self) -> str:
        return f"{self.day}: {self.count} {self.status}"

    @classmethod
    def roll_up(cls, day: date, counts: dict[str, int]) -> None:
        """Put these in place of what was counted for the day before."""
        with transaction.atomic():
            cls.objects.filter(day=day).delete()
            # A day without messages is counted as well, or it would be counted for ever.
            rows = [DayCount(day=day, status=status, count=count) for status, count in (counts or {"": 0}).items()]
            DayCount.objects.bulk_create(rows, ignore_conflicts=True)

    @classmethod
    def of(cls, days: Sequence[date]) -> dict[date, dict[str, int]]:
        """What is known of these days; those that nobody has counted yet are missing."""
        known: dict[date, dict[str, int]] = {}
        for row in cls.objects.filter(day__in=days):
            known.setdefault(row.day, {})[row.status] = row.count
        return known


def bounds(day: date) -> tuple[datetime, datetime]:
    """The first moment of the day and of the next one, in the zone of the site."""
    zone: Any = timezone.get_default_timezone()
    begins = datetime.combine(day, time.min, tzinfo=zone)
    return begins, datetime.combine(day + timedelta(days=1), time.min, tzinfo=zone)
