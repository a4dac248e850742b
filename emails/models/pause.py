from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Pause(models.Model):
    """A time in which staff let nothing leave. Kept, so that everybody sees who did it and why."""

    is_open = models.BooleanField(default=True)
    started_at = models.DateTimeField(_("from"), default=timezone.now)
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    started_by_label = models.CharField(_("paused by"), max_length=320)
    reason = models.TextField(_("reason"))
    ended_at = models.DateTimeField(_("until"), null=True)
    ended_by_label = models.CharField(_("resumed by"), max_length=320, blank=True)

    class Meta:
        verbose_name = _("pause")
        verbose_name_plural = _("pauses")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["is_open"], name="emails_pause_one_open", condition=models.Q(is_open=True))
        ]

    def __str__(self) -> str:
        return self.reason

    @classmethod
    def exists(cls) -> models.Exists:
        return models.Exists(cls.objects.filter(is_open=True))

    @classmethod
    def begin(cls, actor: Any, reason: str) -> bool:
        """Pause all sending; False where it is paused already."""
        fields = {"started_by": actor, "started_by_label": str(actor)[:320], "reason": reason}
        return bool(cls.objects.get_or_create(is_open=True, defaults=fields)[1])

    @classmethod
    def end(cls, actor: Any) -> bool:
        open_ones = cls.objects.filter(is_open=True)
        return bool(open_ones.update(is_open=False, ended_at=timezone.now(), ended_by_label=str(actor)[:320]))
