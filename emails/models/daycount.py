from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, Self

from django.db import connection, models, transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

LOCK = 1_463_896_320  # Among PostgreSQL's advisory locks, ours.


class DayCount(models.Model):
    """How many messages of a day stand at which status: counted once a day, so that a picture reads no messages.

    Counted anew as long as reports may still come: a bounce arrives days after the message has left.
    """

    class By(models.TextChoices):
        ALL = "", _("all mail")
        KIND = "kind", _("kind")
        PROVIDER = "provider", _("provider")
        DOMAIN = "domain", _("recipient’s domain")
        REASON = "reason", _("reason")
        COUNTED = "counted", _("counted")  # The mark of a day that is counted by all of these.

    day = models.DateField()
    by = models.CharField(max_length=10, choices=By, blank=True, default=By.ALL)
    value = models.CharField(max_length=255, blank=True)  # Which kind, provider, domain or reason.
    counts = models.JSONField(default=dict)  # {EmailLog.status: how many}
    took = models.JSONField(default=dict)  # {bucket of emails/statistics.py: how many took so long to be delivered}
    reasons = models.JSONField(default=dict)  # {why it was lost: how often}, the most frequent.
    counted_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["day", "by", "value"], name="emails_daycount_one")]

    def __str__(self) -> str:
        return f"{self.day} {self.value}: {self.counts}"

    @classmethod
    def roll_up(cls, day: date, by: Sequence[str], rows: Iterable[Self]) -> None:
        """Put these in place of what was counted for the day before; a day without messages needs a row as well."""
        with transaction.atomic():
            alone_at(day)
            cls.objects.filter(day=day, by__in=by).delete()
            cls.objects.bulk_create(rows, ignore_conflicts=True)

    @classmethod
    def of(cls, days: Sequence[date]) -> dict[date, dict[str, int]]:
        """All mail of these days, by status; those that nobody has counted yet are missing."""
        return dict(cls.objects.filter(day__in=days, by=cls.By.ALL).values_list("day", "counts"))

    @classmethod
    def outdate(cls, days: Iterable[date], *, forget: bool = False) -> None:
        """Something of these days has changed after they were counted: whoever needs them counts them again.

        With `forget`, domains and reasons, which may name a person, are gone at once.
        """
        by = [cls.By.ALL, cls.By.COUNTED, *([cls.By.DOMAIN, cls.By.REASON] if forget else [])]
        counted = cls.objects.filter(day__in=set(days))
        counted.filter(by__in=by).delete()
        if forget:
            counted.update(reasons={})


def alone_at(day: date) -> None:
    """Wait for whoever else writes counts of the day, until the transaction ends: two counts must not become one."""
    if connection.vendor == "postgresql":  # SQLite's transactions are alone anyway.
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LOCK, day.toordinal()])


def day_of(when: datetime) -> date:
    """The day on which it was, in the zone of the site."""
    return timezone.localdate(when, timezone.get_default_timezone())


def today() -> date:
    return day_of(timezone.now())


def bounds(day: date) -> tuple[datetime, datetime]:
    """The first moment of the day and of the next one, in the zone of the site."""
    zone: Any = timezone.get_default_timezone()
    begins = datetime.combine(day, time.min, tzinfo=zone)
    return begins, datetime.combine(day + timedelta(days=1), time.min, tzinfo=zone)


class EmailReport(DayCount):
    """The counts once more, under the name by which the admin lists the page that sums them up."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = _("email report")
        verbose_name_plural = _("email report")
