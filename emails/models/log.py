import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Self

from django.conf import settings
from django.db import connections, models
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from emails.kinds import label
from emails.models.recipient import Delivery, EmailRecipient, Reached
from emails.models.state import DUE, LEASED, UNSETTLED, State
from emails.models.status import ATTENTION, NEEDS_ATTENTION, STATUS, among, has_status
from emails.models.suppression import Suppression
from emails.rows import updating

# What a worker has to know of a message before it is the message's turn, and what it sends then.
FACTS = (
    *("ref", "created_at", "kind", "state", "attempts", "attempt_token"),
    *("provider", "first_tried_at", "doubtful", "uncertain", "rescues", "has_sealed"),
)
CONTENT = ("text", "html", "payload")


def within(*states: State) -> str:
    """SQL for rows found by primary key; not in a form that invites PostgreSQL to walk the index of states instead."""
    names = ", ".join(f"'{state}'" for state in states)
    return f"COALESCE({{table}}.state, '') IN ({names})"


class EmailLogQuerySet(models.QuerySet["EmailLog"]):
    def due(self) -> Self:
        """Messages to send now, by the database's clock."""
        return self.filter(among("state", DUE), run_at__lte=Now())

    def stale(self, state: State) -> Self:
        """Messages whose worker let its lease run out, by the database's clock."""
        return self.filter(among("state", LEASED), state=state, lease_until__lt=Now())

    def held_under(self, token: uuid.UUID | None, *states: State) -> Self:
        """Messages of one claim that are still its own: every write after a claim goes through here."""
        return self.filter(attempt_token=token, state__in=states)

    def unsettled(self) -> Self:
        return self.filter(among("state", UNSETTLED))

    def needing_attention(self) -> Self:
        """What a person should look at: it did not arrive, or nobody knows."""
        return self.filter(NEEDS_ATTENTION)

    def with_status(self, status: str) -> Self:
        """Messages of which staff read `status`: as a delivery, or as a state that no delivery has replaced."""
        return self.filter(has_status(status))

    def without_bodies(self) -> Self:
        """Rows as lists need them: no text, HTML or payload is read."""
        return self.defer("text", "html", "payload")

    def claim(
        self, limit: int, lease: timedelta, scope: models.Q | None = None, *, busy: bool = False
    ) -> list["EmailLog"]:
        """Take up to `limit` due messages, oldest first, so that no other worker has them until `lease` is over.

        Only those in `scope`. To be called in a transaction. PostgreSQL skips rows that others hold; SQLite's IMMEDIATE
        transaction is alone with the database. What is suspected of killing workers is taken alone, and passed by where
        one is `busy` with others: it must not drag them along, nor answer for their deaths.
        """
        skip = connections[self.db].features.has_select_for_update_skip_locked
        rows = self.due().filter(scope or models.Q()).only(*FACTS).select_for_update(skip_locked=skip)
        rows = rows.order_by("run_at", "pk")
        first = None if busy else rows.first()  # Alone: looking locks, and suspects behind it are others' to take.
        due = [first] if first and first.rescues else list(rows.filter(rescues=0)[:limit])
        token = uuid.uuid4()
        self.filter(pk__in=[email.id for email in due]).update(
            state=State.CLAIMED, attempt_token=token, lease_until=Now() + lease
        )
        for email in due:
            email.state, email.attempt_token = State.CLAIMED, token
        return due

    def fence(self, emails: Sequence["EmailLog"], now: datetime, lease: timedelta, provider: str) -> list["EmailLog"]:
        """Mark claimed messages as sending, to be committed before their requests; returns those still ours.

        `now` is the database's time. May be repeated where nobody knows whether its commit took place.
        """
        names = ("state", "attempts", "lease_until", "provider", "first_tried_at")
        held = within(State.CLAIMED, State.SENDING) + " AND COALESCE({table}.lease_until, {now}) > {now}"
        options = {"keep": ("first_tried_at",), "match": ("attempt_token",), "where": held, "returning": CONTENT}
        content = updating(EmailLog, self.db, names, **options)(
            [
                (
                    *(email.id, email.attempt_token, State.SENDING, email.attempts + 1),
                    *(now + lease, provider, email.first_tried_at or now),
                )
                for email in emails
            ]
        )
        ours = [email for email in emails if email.id in content]
        for email in ours:
            email.text, email.html, email.payload = content[email.id]
        return ours

    def address(self, emails: Sequence["EmailLog"]) -> None:
        """Set `reached` and `addresses`, for which making a model of every recipient would be too slow."""
        by_pk: dict[int, list[Reached]] = {email.id: [] for email in emails}
        rows = EmailRecipient.objects.using(self.db).filter(email__in=list(by_pk)).order_by("pk")
        rows = rows.annotate(barred=Suppression.reason_of(models.OuterRef("address")))
        for email_pk, *values in rows.values_list("email_id", *Reached._fields):
            by_pk[email_pk].append(Reached(*values))
        for email in emails:
            email.reached = by_pk[email.id]
            email.addresses = frozenset(recipient.address for recipient in email.reached)

    def lock_stale(self, state: State, limit: int = 1000) -> list["EmailLog"]:
        """Stale messages, claim by claim, locked until the transaction ends; `now` is the database's time."""
        skip = connections[self.db].features.has_select_for_update_skip_locked
        rows = self.without_bodies().stale(state).select_for_update(skip_locked=skip)
        rows = rows.order_by("lease_until", "attempt_token", "run_at", "pk")
        return list(rows.annotate(now=Now(output_field=models.DateTimeField()))[:limit])

    def forget_sealed(self) -> int:
        """Wipe other code's secrets off messages that have ended; returns of how many."""
        return self.exclude(sealed="").exclude(state__in=UNSETTLED).update(sealed="")

    def waiting_seconds(self) -> int:
        """How long the message that has been due longest has been waiting; 0 where nothing is due."""
        oldest = self.due().order_by("run_at").values_list("run_at", flat=True).first()
        return max(0, int((timezone.now() - oldest).total_seconds())) if oldest else 0


class EmailLog(models.Model):
    """One message: why it was written, what it says, how far it got. It outlives the people it is about."""

    ref = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)  # Opaque; the provider hands it back.
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    kind = models.CharField(_("kind"), max_length=40, blank=True)  # "" for mail that no kind made.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="emails", db_index=False
    )
    user_label = models.CharField(_("person"), max_length=320, blank=True)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", db_index=False)
    actor_label = models.CharField(_("caused by"), max_length=320, default="system")
    cause = models.TextField(_("cause"), blank=True)  # "POST /admin/…", "manage.py demo".
    changes = models.JSONField(_("changes"), default=dict)  # {field: [old, new]}, secrets masked.
    language = models.CharField(_("language"), max_length=15, blank=True)
    template = models.CharField(_("template"), max_length=12, blank=True)  # A digest of what it was written with.
    from_email = models.TextField(_("from"), blank=True)
    subject = models.TextField(_("subject"), blank=True)
    text = models.TextField(blank=True)
    html = models.TextField(blank=True)
    payload = models.TextField(blank=True)  # JSON text, not jsonb, which loses key order and refuses NUL.
    secret = models.CharField(max_length=64, blank=True)  # A digest of what fills the placeholder when it is sent.
    sealed = models.TextField(blank=True)  # Encrypted: other code's secrets, until it is sent.
    has_sealed = models.BooleanField(default=False)
    resend_of = models.ForeignKey("self", models.SET_NULL, null=True, related_name="resends", db_index=False)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.QUEUED)
    delivery = models.CharField(_("delivery"), max_length=10, choices=Delivery, blank=True, default=Delivery.NONE)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    run_at = models.DateTimeField(_("due"), db_default=Now())
    lease_until = models.DateTimeField(null=True)
    attempt_token = models.UUIDField(null=True)
    first_tried_at = models.DateTimeField(null=True)  # A provider's memory of our key begins here.
    # An earlier attempt may have left: only a key makes another one safe.
    doubtful = models.BooleanField(default=False)
    # As doubtful, or a server's error may hide an acceptance: no other provider gets it.
    uncertain = models.BooleanField(default=False)
    rescues = models.PositiveSmallIntegerField(default=0)  # How often it may have killed its worker.
    provider = models.CharField(_("provider"), max_length=20, blank=True)
    message_id = models.CharField(_("message id"), max_length=255, blank=True)
    error_class = models.CharField(_("error"), max_length=100, blank=True)
    error = models.TextField(_("reason"), blank=True)
    sent_at = models.DateTimeField(_("sent"), null=True)
    purged_at = models.DateTimeField(null=True)  # Since when its content is forgotten.

    objects = EmailLogQuerySet.as_manager()

    reached: list[Reached]  # Its recipients, where it was claimed.
    addresses: frozenset[str]
    secrets: dict[str, str] = {}  # {placeholder: what fills it}, only while it is sent.
    sent_again = False  # Whether it was, where a list has looked.
    digest = ""  # Of what the attempt handed over.
    on_trial = False  # Whether this attempt only shows if the provider is back.

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
                fields=["run_at", "id"],
                name="emails_log_uncertain",
                condition=models.Q(state__in=DUE, uncertain=True),
            ),
            models.Index(
                fields=["lease_until"],
                name="emails_log_leased",
                condition=models.Q(state__in=LEASED),
            ),
            models.Index(fields=["state", "-id"], name="emails_log_unsettled", condition=models.Q(state__in=UNSETTLED)),
            # With what their conditions are about: to count ten thousand, neither database has to read their rows.
            models.Index(STATUS, models.F("id").desc(), "state", "delivery", name="emails_log_status"),
            models.Index(fields=["-id", "state", "delivery"], name="emails_log_attention", condition=ATTENTION),
            models.Index(fields=["kind", "-id"], name="emails_log_kind"),
            models.Index(fields=["user", "-id"], name="emails_log_user", condition=models.Q(user__isnull=False)),
            models.Index(fields=["actor"], name="emails_log_actor", condition=models.Q(actor__isnull=False)),
            models.Index(fields=["resend_of"], name="emails_log_resend", condition=models.Q(resend_of__isnull=False)),
            models.Index(fields=["created_at"], name="emails_log_created"),
            models.Index(fields=["created_at"], name="emails_log_bodied", condition=models.Q(purged_at__isnull=True)),
            models.Index(fields=["state"], name="emails_log_sealed", condition=~models.Q(sealed="")),
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

    @cached_property
    def to(self) -> list[str]:
        """The addresses of all its recipients; lists set it from EmailRecipient.addresses_of, for many at once."""
        return list(self.recipients.order_by("pk").values_list("address", flat=True))

    @property
    def kind_label(self) -> str:
        return label(self.kind)
