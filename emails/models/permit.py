from collections.abc import Iterable
from datetime import timedelta

from django.db import connections, models
from django.db.models.functions import Now

# A permit comes back late rather than early: clocks that tick in milliseconds must not let one message in too many.
MARGIN = timedelta(milliseconds=5)


class PermitQuerySet(models.QuerySet["Permit"]):
    def take(self, lane: str, limit: int, rate: float, lease: timedelta) -> list[int]:
        """Up to `limit` permits to send one message each; to be called in a transaction."""
        total = permits(rate)
        if not self.filter(lane=lane, number=total - 1).exists():
            self.bulk_create([Permit(lane=lane, number=n) for n in range(total)], ignore_conflicts=True)
        skip = connections[self.db].features.has_select_for_update_skip_locked
        free = self.filter(lane=lane, number__lt=total, free_at__lte=Now()).select_for_update(skip_locked=skip)
        taken = list(free.order_by("free_at").values_list("pk", flat=True)[:limit])
        self.filter(pk__in=taken).update(free_at=Now() + lease + period(rate))
        return taken

    def hold(self, taken: Iterable[int], rate: float, lease: timedelta) -> None:
        self.filter(pk__in=list(taken)).update(free_at=Now() + lease + period(rate))

    def give_back(self, taken: Iterable[int], rate: float) -> None:
        """Give permits back when the provider has answered: they are free again one period later."""
        self.filter(pk__in=list(taken)).update(free_at=Now() + period(rate) + MARGIN)


class Permit(models.Model):
    """The right to have one message on its way, of which there are as many as may be sent in a second.

    It is held from before the request until a second after the answer. Of any messages that reach the provider within
    one second, each holds another permit, so they are never more than there are, whatever the network delays.
    """

    lane = models.CharField(max_length=20)
    number = models.PositiveIntegerField()
    free_at = models.DateTimeField(db_default=Now())

    objects = PermitQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["lane", "number"], name="emails_permit_number")]

    def __str__(self) -> str:
        return f"{self.lane} #{self.number}"


def permits(rate: float) -> int:
    return max(1, int(rate))


def period(rate: float) -> timedelta:
    """How long a permit rests: a second, or longer where fewer than one message a second may leave."""
    return timedelta(seconds=max(1.0, permits(rate) / rate))
