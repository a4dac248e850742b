from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class EmailEvent(models.Model):
    """One entry of a message's timeline. Entries are only ever added."""

    # Null: reported before, or without, a message of ours that it belongs to; kept for later matching.
    email = models.ForeignKey("emails.EmailLog", models.CASCADE, null=True, related_name="events")
    recipient = models.ForeignKey("emails.EmailRecipient", models.CASCADE, null=True, related_name="events")
    type = models.CharField(max_length=20)
    occurred_at = models.DateTimeField(default=timezone.now)
    recorded_at = models.DateTimeField(default=timezone.now)
    provider = models.CharField(max_length=20, blank=True)
    event_id = models.CharField(max_length=255, blank=True)
    dedupe_key = models.CharField(max_length=255, unique=True)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    detail = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ["occurred_at", "id"]

    def __str__(self) -> str:
        return f"{self.type} at {self.occurred_at:%Y-%m-%d %H:%M:%S}"

    @classmethod
    def of_attempt(cls, email: Any, type: str, detail: dict[str, Any]) -> "EmailEvent":
        """An entry of ours about the attempt that `email.attempt_token` names, not saved yet."""
        return cls(
            email=email,
            type=type,
            provider=email.provider,
            dedupe_key=f"{email.pk}:{email.attempt_token}:{type}",
            detail={name: value for name, value in detail.items() if value},
        )
