"""Takes a person out of the log: rows, states and times stay, and nobody can tell any more whom they were about."""

from collections.abc import Collection
from typing import Any

from django.db.models import Model, Q
from django.utils.translation import gettext_noop

from emails.addresses import bare
from emails.models import EmailAttachment, EmailEvent, EmailLog, EmailRecipient, LegalHold, Pause, State, Suppression
from emails.models.state import DUE

REDACTED = "•••"
ANONYMISED = gettext_noop("Anonymised.")
CHUNK = 500
ACTED: tuple[tuple[type[Model], str], ...] = (  # Who did so, by name.
    (Pause, "started_by_label"),
    (Pause, "ended_by_label"),
    (Suppression, "lifted_by_label"),
    (LegalHold, "began_by_label"),
    (LegalHold, "ended_by_label"),
)


def redact(person_pk: Any, label: str, address: str = "", known_as: Collection[str] = ()) -> int:
    """Blank every message about a person in the transaction that is open; returns of how many.

    And those that other code has sent to `address`. What has not left is cancelled. `label` is the name that stays;
    it stands for each of `known_as` where staff are named without being referred to.
    """
    to = EmailRecipient.objects.filter(address=bare(address)).values("email") if address else []
    about = EmailLog.objects.filter(Q(user=person_pk) | Q(user=None, pk__in=to))
    # Claimed ones too: the worker finds, as it fences them, that they are no longer its own.
    waiting = about.filter(state__in=[*DUE, State.CLAIMED], doubtful=False)
    waiting.update(state=State.CANCELLED, error=ANONYMISED, lease_until=None)
    keys = list(about.order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(keys), CHUNK):
        blank(keys[start : start + CHUNK], label)
    EmailLog.objects.filter(actor=person_pk).update(actor_label=label)
    for event in EmailEvent.objects.filter(actor=person_pk, detail__has_key="by").iterator(CHUNK):
        EmailEvent.objects.filter(pk=event.pk).update(detail={**event.detail, "by": label})
    for model, column in ACTED:
        model._default_manager.filter(**{f"{column}__in": known_as}).update(**{column: label})
    return len(keys)


def blank(keys: list[int], label: str) -> None:
    rows = EmailLog.objects.filter(pk__in=keys)
    addresses = set(EmailRecipient.objects.filter(email__in=keys).values_list("address", flat=True))
    Suppression.objects.filter(address__in=addresses).delete()
    EmailAttachment.objects.filter(email__in=keys).delete()
    EmailRecipient.objects.filter(email__in=keys).update(formatted=REDACTED, address="")
    EmailEvent.objects.filter(email__in=keys).filter(Q(reported=True) | Q(detail__has_key="to")).update(detail={})
    changed = rows.exclude(changes={}).only("pk", "changes")
    for row in changed:
        row.changes = {name: [REDACTED, REDACTED] for name in row.changes}
    EmailLog.objects.bulk_update(changed, ["changes"])
    rows.update(user_label=label, subject=REDACTED, text="", html="", payload="", sealed="", message_id="")
