import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Self

from django.conf import settings
from django.db import connections, models
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from emails.kinds import label
from emails.models.recipient import DELIVERY_TROUBLE, Delivery
from emails.models.state import DUE, TROUBLE, State


class EmailLogQuerySet(models.QuerySet["EmailLog"]):
    def due(self) -> Self:
        """Messages to send now, by the database's clock."""
        return self.filter(state__in=DUE, run_at__lte=Now())

    def stale(self, state: State) -> Self:
        """Messages whose worker let its lease run out, by the database's clock."""
        return self.filter(state=state, lease_until__lt=Now())

    def held_under(self, token: uuid.UUID | None, *states: State) -> Self:
        """Messages of one claim that are still its own: every write after a claim goes through here."""
        return self.filter(attempt_token=token, state__in=states)

    def unsettled(self) -> Self:
        return self.filter(state__in=[State.QUEUED, State.RETRYING, State.CLAIMED, State.SENDING])

    def needing_attention(self) -> Self:
        """What a person should look at: it did not arrive, or nobody knows."""
        return self.filter(models.Q(state__in=TROUBLE) | models.Q(delivery__in=DELIVERY_TROUBLE))

    def with_status(self, status: str) -> Self:
        """Messages of which staff read `status`: as a delivery, or as a state that no delivery has replaced."""
        return self.filter(models.Q(delivery=status) | models.Q(state=status, delivery=""))

    def without_bodies(self) -> Self:
        """Rows as lists need them: no text, HTML or payload is read."""
        return self.defer("text", "html", "payload")

    def claim(self, limit: int, lease: timedelta) -> list["EmailLog"]:
        """Take up to `limit` due messages, oldest first, so that no other worker has them until `lease` is over.

        To be called in a transaction. PostgreSQL skips rows that others hold; SQLite's IMMEDIATE
        transaction is alone with the database from its beginning.
        """
        skip = connections[self.db].features.has_select_for_update_skip_locked
        due = list(self.due().select_for_update(skip_locked=skip).order_by("run_at", "pk")[:limit])
        token = uuid.uuid4()
        self.filter(pk__in=[email.pk for email in due]).update(
            state=State.CLAIMED, attempt_token=token, lease_until=Now() + lease
        )
        for email in due:
            email.state, email.attempt_token = State.CLAIMED, token
        return due

    def fence(self, emails: Sequence["EmailLog"], lease: timedelta, provider: str) -> list["EmailLog"]:
        """Mark claimed messages as sending, to be committed before their requests; returns those still ours."""
        mine = self.filter(pk__in=[email.pk for email in emails])
        mine = mine.held_under(emails[0].attempt_token, State.CLAIMED).filter(lease_until__gt=Now())
        fenced = mine.update(
            state=State.SENDING, attempts=models.F("attempts") + 1, lease_until=Now() + lease, provider=provider
        )
        held = {email.pk for email in emails}
        if fenced < len(emails):
            sending = self.filter(pk__in=held).held_under(emails[0].attempt_token, State.SENDING)
            held = set(sending.values_list("pk", flat=True))
        for email in emails:
            email.state, email.provider, email.attempts = State.SENDING, provider, email.attempts + 1
        return [email for email in emails if email.pk in held]

    def lock_stale(self, state: State, limit: int = 1000) -> list["EmailLog"]:
        """Stale messages, locked against other sweepers until the transaction ends."""
        skip = connections[self.db].features.has_select_for_update_skip_locked
        return list(self.without_bodies().stale(state).select_for_update(skip_locked=skip)[:limit])

    def waiting_seconds(self) -> int:
        """How long the message that has been due longest has been waiting; 0 where nothing is due."""
        oldest = self.due().order_by("run_at").values_list("run_at", flat=True).first()
        return max(0, int((timezone.now() - oldest).total_seconds())) if oldest else 0

    def prefetch(self, emails: Sequence["EmailLog"]) -> None:
        """Load what sending needs beside the rows, so that no other thread touches the database."""
        models.prefetch_related_objects(emails, "recipients", "attachments")


class EmailLog(models.Model):
    """One message: why it was written, what it says, how far it got. It outlives the people it is about."""

    ref = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)  # Opaque; the provider hands it back.
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    kind = models.CharField(_("kind"), max_length=40, blank=True)  # "" for mail that no kind made.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="emails", db_index=False
    )
    user_label = models.CharField(_("person"), max_length=320, blank=True)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    actor_label = models.CharField(_("caused by"), max_length=320, default="system")
    cause = models.TextField(_("cause"), blank=True)  # "POST /admin/…", "manage.py demo".
    changes = models.JSONField(_("changes"), default=dict)  # {field: [old, new]}, secrets masked.
    language = models.CharField(_("language"), max_length=15, blank=True)
    from_email = models.TextField(_("from"), blank=True)
    subject = models.TextField(_("subject"), blank=True)
    text = models.TextField(blank=True)
    html = models.TextField(blank=True)
    payload = models.TextField(blank=True)  # JSON text, not jsonb, which loses key order and refuses NUL.
    resend_of = models.ForeignKey("self", models.SET_NULL, null=True, related_name="resends")
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.QUEUED)
    delivery = models.CharField(_("delivery"), max_length=10, choices=Delivery, blank=True, default=Delivery.NONE)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    run_at = models.DateTimeField(_("due"), db_default=Now())
    lease_until = models.DateTimeField(null=True)
    attempt_token = models.UUIDField(null=True)
    provider = models.CharField(_("provider"), max_length=20, blank=True)
    message_id = models.CharField(_("message id"), max_length=255, blank=True)
    error_class = models.CharField(_("error"), max_length=100, blank=True)
    error = models.TextField(_("reason"), blank=True)
    sent_at = models.DateTimeField(_("sent"), null=True)

    objects = EmailLogQuerySet.as_manager()

    class Meta:
        verbose_name = _("email")
        verbose_name_plural = _("emails")
        ordering = ["-id"]
        permissions = [
            ("view_email_body", "Can read the body of emails"),
            ("resend_emaillog", "Can resend emails"),
            ("export_emaillog", "Can export emails"),
            ("control_delivery", "Can pause, cancel and settle delivery"),
        ]
        indexes = [
            models.Index(fields=["run_at", "id"], name="emails_log_due", condition=models.Q(state__in=DUE)),
            models.Index(
                fields=["lease_until"],
                name="emails_log_leased",
                condition=models.Q(state__in=[State.CLAIMED, State.SENDING]),
            ),
            models.Index(fields=["state", "-id"], name="emails_log_state"),
            models.Index(fields=["kind", "-id"], name="emails_log_kind"),
            models.Index(fields=["user", "-id"], name="emails_log_user"),
            models.Index(fields=["created_at"], name="emails_log_created"),
            models.Index(fields=["message_id"], name="emails_log_message_id", condition=~models.Q(message_id="")),
        ]
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=State.values), name="emails_log_state_known"),
            models.CheckConstraint(condition=models.Q(delivery__in=Delivery.values), name="emails_log_delivery_known"),
        ]

    def __str__(self) -> str:
        return self.subject or self.kind_label

    def get_absolute_url(self) -> str:
        return reverse("admin:emails_emaillog_change", args=[self.pk])

    @property
    def status(self) -> str:
        """The one word that staff read: the delivery where there is one, else the state."""
        return self.delivery or self.state

    @property
    def status_label(self) -> str:
        return str(Delivery(self.delivery).label if self.delivery else State(self.state).label)

    @property
    def kind_label(self) -> str:
        return label(self.kind)

    def settle(self, state: State, **columns: Any) -> bool:
        """Write the outcome of the attempt under way; False where the attempt is no longer ours to settle.

        A worker that lost its lease during a long call still resolves the doubt that the rescue left.
        """
        mine = EmailLog.objects.held_under(self.attempt_token, State.SENDING, State.IN_DOUBT).filter(pk=self.pk)
        return bool(mine.update(state=state, lease_until=None, **columns))
