from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db import connections, models, router
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

CHUNK = 500


class Suppression(models.Model):
    """An address that gets no mail from us, since a provider reported it. Kept when it is lifted."""

    class Reason(models.TextChoices):
        BOUNCED = "bounced", _("Bounced for good")
        COMPLAINED = "complained", _("Reported our mail as spam")

    address = models.CharField(_("address"), max_length=320)  # Bare and in lower case.
    reason = models.CharField(_("reason"), max_length=10, choices=Reason)
    since = models.DateTimeField(_("since"), default=timezone.now)
    event = models.ForeignKey(
        "emails.EmailEvent", models.SET_NULL, null=True, related_name="+", verbose_name=_("reported by")
    )
    lifted_at = models.DateTimeField(_("lifted"), null=True)
    lifted_by_label = models.CharField(_("lifted by"), max_length=320, blank=True)
    lifted_for = models.TextField(_("lifted because"), blank=True)

    class Meta:
        verbose_name = _("suppressed address")
        verbose_name_plural = _("suppressed addresses")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["address"], name="emails_suppression_one", condition=models.Q(lifted_at__isnull=True)
            )
        ]
        indexes = [models.Index(fields=["address", "-id"], name="emails_suppression_address")]

    def __str__(self) -> str:
        return self.address

    def lift(self, actor: Any, reason: str) -> bool:
        """Let mail go there again; False where somebody else has done so already."""
        mine = type(self).objects.filter(pk=self.pk, lifted_at__isnull=True)
        return bool(mine.update(lifted_at=timezone.now(), lifted_by_label=str(actor)[:320], lifted_for=reason))

    @classmethod
    def reason_of(cls, address: Any) -> models.Subquery:
        """The reason why an outer query's `address` is suppressed, or NULL."""
        return models.Subquery(cls.objects.filter(address=address, lifted_at__isnull=True).values("reason")[:1])

    @classmethod
    def among(cls, addresses: Collection[str]) -> dict[str, str]:
        """Those of `addresses` (bare, in lower case) that are suppressed, with the reason."""
        found: dict[str, str] = {}
        wanted = list(addresses)
        with connections[router.db_for_read(cls)].cursor() as cursor:  # By hand: every save asks.
            for start in range(0, len(wanted), CHUNK):
                some = wanted[start : start + CHUNK]
                cursor.execute(f"SELECT address, reason {cls.barring(len(some))}", some)
                found.update(cursor.fetchall())
        return found

    @classmethod
    def barring(cls, count: int) -> str:
        """The FROM and WHERE of those that suppress one of so many addresses, with a placeholder for each."""
        places = ", ".join(["%s"] * count)
        return f"FROM {cls._meta.db_table} WHERE lifted_at IS NULL AND address IN ({places})"

    @classmethod
    def lifted_since(cls, addresses: Collection[str]) -> dict[str, datetime]:
        """When each of `addresses` was last lifted: what was reported before then counts no more."""
        lifted = cls.objects.filter(address__in=addresses, lifted_at__isnull=False)
        return dict(lifted.values_list("address").annotate(models.Max("lifted_at")))
