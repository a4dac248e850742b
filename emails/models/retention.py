from collections import Counter
from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class LegalHold(models.Model):
    """While it is open, nothing about this person is purged, anonymised or deleted. Kept when it has ended."""

    # Not in the way of a deletion any more once it has ended: then there is none.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="legal_holds")
    user_label = models.CharField(_("person"), max_length=320)
    reason = models.TextField(_("reason"))
    began_at = models.DateTimeField(_("since"), default=timezone.now)
    began_by_label = models.CharField(_("by"), max_length=320)
    ended_at = models.DateTimeField(_("ended"), null=True)
    ended_by_label = models.CharField(_("ended by"), max_length=320, blank=True)
    ended_for = models.TextField(_("ended because"), blank=True)

    class Meta:
        verbose_name = _("legal hold")
        verbose_name_plural = _("legal holds")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["user"], name="emails_legalhold_one", condition=models.Q(ended_at__isnull=True)
            )
        ]

    def __str__(self) -> str:
        return self.user_label

    @classmethod
    def begin(cls, person: Any, actor: Any, reason: str) -> bool:
        """Hold what is kept about a person; False where it is held already."""
        label = getattr(person, "label", str(person))[:320]
        _hold, begun = cls.objects.get_or_create(
            user=person,
            ended_at=None,
            defaults={"user_label": label, "reason": reason, "began_by_label": str(actor)[:320]},
        )
        return begun

    def end(self, actor: Any, reason: str) -> bool:
        """Let go of it; False where somebody else has done so already."""
        mine = type(self).objects.filter(pk=self.pk, ended_at__isnull=True)
        return bool(mine.update(user=None, ended_at=timezone.now(), ended_by_label=str(actor)[:320], ended_for=reason))

    @classmethod
    def people(cls) -> models.QuerySet["LegalHold", Any]:
        """Primary keys of the people who are held now."""
        return cls.objects.filter(ended_at=None).order_by().values_list("user", flat=True)


class Tombstone(models.Model):
    """How many messages of a day, a kind and a status were purged as a whole: figures outlive the rows."""

    day = models.DateField()
    kind = models.CharField(max_length=40, blank=True)
    status = models.CharField(max_length=10)
    count = models.PositiveIntegerField(default=0)
    last_pk = models.BigIntegerField(default=0)  # The newest of them: who asks for an older one can be told.
    purged_at = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["day", "kind", "status"], name="emails_tombstone_one")]

    def __str__(self) -> str:
        return f"{self.count} of {self.day}"

    @classmethod
    def count_in(cls, found: Counter[tuple[date, str, str]], last_pk: int, now: datetime) -> None:
        """Add to the counts, in the transaction that deletes the rows."""
        for (day, kind, status), number in found.items():
            stone, _made = cls.objects.select_for_update().get_or_create(day=day, kind=kind, status=status)
            stone.count += number
            stone.last_pk, stone.purged_at = max(stone.last_pk, last_pk), now
            stone.save()

    @classmethod
    def covers(cls, pk: int) -> bool:
        """Whether a message of this number may have been purged."""
        last: int = cls.objects.aggregate(last=Coalesce(models.Max("last_pk"), 0))["last"]
        return 0 < pk <= last
