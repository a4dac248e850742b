from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from emails.cause import Cause, current


class PersonEvent(models.Model):
    """What happened to a person and no email tells of: sign-ins, refusals, what staff did. Only ever added to.

    It outlives the person and whoever caused it. What changed in a person is kept with the email that tells of it.
    """

    class Type(models.TextChoices):
        SIGNED_IN = "signed_in", _("Signed in")
        SIGN_IN_FAILED = "sign_in_failed", _("Sign-in failed")
        SIGNED_OUT = "signed_out", _("Signed out")
        LOCKED = "locked", _("Locked after too many failed sign-ins")
        UNLOCKED = "unlocked", _("Unlocked")
        SIGNED_OUT_EVERYWHERE = "ended_sessions", _("Signed out everywhere")
        DISABLED = "disabled", _("Disabled")
        ENABLED = "enabled", _("Enabled")
        CHANGED = "changed", _("Changed")
        INVITED = "invited", _("Invited")
        INVITATION_ACCEPTED = "accepted", _("Invitation accepted")
        INVITATION_WITHDRAWN = "withdrawn", _("Invitation withdrawn")
        RESET_SENT = "reset_sent", _("Password reset sent")
        RESET_USED = "reset_used", _("Password reset used")
        FACTOR_ADDED = "factor_added", _("Second factor set up")
        FACTOR_REMOVED = "factor_removed", _("Second factor removed")
        FACTOR_FAILED = "factor_failed", _("Second factor refused")
        RECOVERY_USED = "recovery_used", _("Recovery code used")
        RECOVERY_RENEWED = "codes_renewed", _("Recovery codes made anew")
        ANONYMISED = "anonymised", _("Anonymised")
        DELETED = "deleted", _("Deleted")
        IMPORTED = "imported", _("Imported")
        EXPORTED = "exported", _("Exported")
        DENIED = "denied", _("Refused")

    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="events", db_index=False
    )
    person_label = models.CharField(_("person"), max_length=320, blank=True)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", db_index=False)
    actor_label = models.CharField(_("by"), max_length=320, default="system")
    type = models.CharField(_("what"), max_length=20, choices=Type)
    at = models.DateTimeField(_("when"), default=timezone.now)
    reason = models.TextField(_("reason"), blank=True)
    detail = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ["-id"]
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["person", "-id"], name="accounts_event_person"),
            models.Index(fields=["actor"], name="accounts_event_actor", condition=models.Q(actor__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.get_type_display()

    @classmethod
    def note(cls, type: str, person: Any = None, *, reason: str = "", cause: Cause | None = None, **detail: Any) -> Any:
        """Add an entry about `person`, caused by whoever is at work now, or by `cause`."""
        cause = cause or current()
        gone = person is None or person.pk is None
        return cls.objects.create(
            type=type,
            person_id=None if gone else person.pk,
            person_label="" if person is None else str(person.label)[:320],
            actor_id=cause.actor_pk,
            actor_label=cause.actor_label[:320],
            reason=reason[:500],
            detail={name: value for name, value in detail.items() if value not in ("", None)},
        )
