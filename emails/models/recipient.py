from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from django.db import models
from django.utils.translation import gettext_lazy as _


class Delivery(models.TextChoices):
    """What the provider reported about a message after accepting it; "" until it reports anything."""

    NONE = "", _("No report")
    DEFERRED = "deferred", _("Deferred")
    DELIVERED = "delivered", _("Delivered")
    BOUNCED = "bounced", _("Bounced")
    REJECTED = "rejected", _("Rejected")
    FAILED = "failed", _("Failed")
    COMPLAINED = "complained", _("Complained")


DELIVERY_TROUBLE = (Delivery.BOUNCED, Delivery.REJECTED, Delivery.FAILED, Delivery.COMPLAINED)


class Reached(NamedTuple):
    """What delivery has to know of a recipient."""

    pk: int
    address: str
    field: str
    delivery: str
    delivery_at: datetime | None
    suppressed: bool
    barred: str | None  # Why the address is suppressed now.


class EmailRecipient(models.Model):
    """One address of a message, in to, cc or bcc, and what became of it there."""

    class Field(models.TextChoices):
        TO = "to", _("To")
        CC = "cc", _("Cc")
        BCC = "bcc", _("Bcc")

    email = models.ForeignKey("emails.EmailLog", models.CASCADE, related_name="recipients")
    field = models.CharField(max_length=3, choices=Field)
    formatted = models.TextField()  # As given to send(): "Ada <ada@example.com>".
    address = models.CharField(max_length=320)  # Bare and in lower case, for look-ups.
    message_id = models.CharField(max_length=255, blank=True)  # The provider's, which may differ per recipient.
    delivery = models.CharField(max_length=10, choices=Delivery, blank=True, default=Delivery.NONE)
    delivery_at = models.DateTimeField(null=True, blank=True)
    suppressed = models.BooleanField(default=False)  # Left out, since the address is suppressed.
    unsubscribed_at = models.DateTimeField(null=True, blank=True)
    first_opened_at = models.DateTimeField(null=True, blank=True)
    last_opened_at = models.DateTimeField(null=True, blank=True)
    open_count = models.PositiveIntegerField(default=0)
    first_clicked_at = models.DateTimeField(null=True, blank=True)
    last_clicked_at = models.DateTimeField(null=True, blank=True)
    click_count = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = _("recipient")
        verbose_name_plural = _("recipients")
        ordering = ["id"]
        indexes = [
            models.Index(fields=["address", "-email"], name="emails_recipient_address"),
            models.Index(fields=["message_id"], name="emails_recipient_message_id", condition=~models.Q(message_id="")),
        ]

    def __str__(self) -> str:
        return self.formatted

    @classmethod
    def addresses_of(cls, emails: Iterable[int]) -> dict[int, list[str]]:
        """The addresses of each of these messages, by its primary key: one query, and no models."""
        by_email: dict[int, list[str]] = {email: [] for email in emails}
        rows = cls.objects.filter(email__in=list(by_email)).order_by("pk")
        for email, address in rows.values_list("email_id", "address"):
            by_email[email].append(address)
        return by_email
