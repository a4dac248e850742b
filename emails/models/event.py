import uuid
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class EmailEvent(models.Model):
    """One entry of a message's timeline. Entries are only ever added."""

    # Null: reported before, or without, a message of ours that it belongs to; kept for later matching.
    email = models.ForeignKey("emails.EmailLog", models.CASCADE, null=True, related_name="events")
    recipient = models.ForeignKey(
        "emails.EmailRecipient", models.CASCADE, null=True, related_name="events", db_index=False
    )
    type = models.CharField(max_length=20)
    occurred_at = models.DateTimeField(default=timezone.now)
    recorded_at = models.DateTimeField(default=timezone.now)
    provider = models.CharField(max_length=20, blank=True)
    event_id = models.CharField(max_length=255, blank=True)
    message_id = models.CharField(max_length=255, blank=True)  # The provider's, by which an orphan finds its message.
    reported = models.BooleanField(default=False)  # By the provider; everything else is our own doing.
    dedupe_key = models.CharField(max_length=255)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", db_index=False)
    detail = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ["occurred_at", "id"]
        indexes = [
            models.Index(
                fields=["recipient"], name="emails_event_recipient", condition=models.Q(recipient__isnull=False)
            ),
            models.Index(fields=["message_id"], name="emails_event_orphan", condition=models.Q(email__isnull=True)),
            models.Index(fields=["recorded_at"], name="emails_event_waiting", condition=models.Q(email__isnull=True)),
            models.Index(fields=["actor"], name="emails_event_actor", condition=models.Q(actor__isnull=False)),
        ]
        # Not the field's own `unique`: on PostgreSQL that makes a second index, for searches nobody makes of keys.
        constraints = [models.UniqueConstraint(fields=["dedupe_key"], name="emails_event_once")]

    def __str__(self) -> str:
        return f"{self.type} at {self.occurred_at:%Y-%m-%d %H:%M:%S}"

    @classmethod
    def of_attempt(cls, email: Any, type: str, detail: dict[str, Any], at: datetime) -> "EmailEvent":
        """An entry of ours about the attempt that `email.attempt_token` names, not saved yet; `at` by the database."""
        return cls(**cls.row_of_attempt(email, type, detail, at))

    @staticmethod
    def row_of_attempt(email: Any, type: str, detail: dict[str, Any], at: datetime) -> dict[str, Any]:
        """What `of_attempt` makes, column by column: for thousands a second, of which no model need be made."""
        return {
            **{"email_id": email.id, "type": type, "provider": email.provider, "occurred_at": at},
            **{"recorded_at": timezone.now(), "dedupe_key": f"{email.id}:{email.attempt_token}:{type}"},
            **{"recipient_id": None, "actor_id": None, "event_id": "", "message_id": "", "reported": False},
            "detail": {name: value for name, value in detail.items() if value},
        }

    @classmethod
    def of_staff(cls, email: Any, type: str, actor: Any, **detail: str) -> "EmailEvent":
        """An entry about what staff did with the message, not saved yet."""
        detail = {"by": str(actor), **detail}
        return cls(email=email, type=type, actor=actor, dedupe_key=f"{email.pk}:{uuid.uuid4()}", detail=detail)
