"""Takes a person out of the log: rows, states and times stay, and nobody can tell any more whom they were about."""

from collections.abc import Collection
from typing import Any

from django.db.models import Model, Q
from django.utils.translation import gettext_noop

from emails.addresses import bare
from emails.models import (
    DayCount,
    EmailAttachment,
    EmailEvent,
    EmailLog,
    EmailRecipient,
    LegalHold,
    Pause,
    State,
    Suppression,
)
from emails.models.daycount import day_of
from emails.models.state import DUE

REDACTED = "•••"
ANONYMISED = gettext_noop("Anonymised.")
CHUNK = 500
TELLING = ("to", "error", "digest", "message_id", "redirected")  # Of an event of ours, what may name a person.
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
    theirs = Q(user=person_pk) | Q(user=None, pk__in=to)
    own: set[int] = set(EmailLog.objects.filter(theirs).values_list("pk", flat=True))
    about = EmailLog.objects.filter(theirs | Q(pk__in=chained(own) - own))
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


def chained(keys: set[int]) -> set[int]:
    """With what they were sent in place of and what was sent in place of them, perhaps to another address."""
    new = keys
    while new:
        linked: set[int] = set()
        for start in range(0, len(new), CHUNK):
            some = list(new)[start : start + CHUNK]
            linked |= set(EmailLog.objects.filter(resend_of__in=some).values_list("pk", flat=True))
            before = EmailLog.objects.filter(pk__in=some, resend_of__isnull=False)
            linked |= {pk for pk in before.values_list("resend_of", flat=True) if pk is not None}
        new = linked - keys
        keys = keys | new
    return keys


def blank(keys: list[int], label: str) -> None:
    rows = EmailLog.objects.filter(pk__in=keys)
    DayCount.outdate({day_of(written) for written in rows.values_list("created_at", flat=True)}, forget=True)
    addresses = set(EmailRecipient.objects.filter(email__in=keys).values_list("address", flat=True))
    Suppression.objects.filter(address__in=addresses).delete()
    EmailAttachment.objects.filter(email__in=keys).delete()
    EmailRecipient.objects.filter(email__in=keys).update(formatted=REDACTED, address="")
    events = EmailEvent.objects.filter(email__in=keys)
    events.filter(reported=True).update(detail={})
    for event in events.filter(reported=False).only("pk", "detail"):
        # Who did what, and when, stays; what it was about does not.
        kept = {name: value for name, value in event.detail.items() if name not in TELLING}
        EmailEvent.objects.filter(pk=event.pk).exclude(detail=kept).update(detail=kept)
    changed = rows.exclude(changes={}).only("pk", "changes")
    for row in changed:
        row.changes = {name: [REDACTED, REDACTED] for name in row.changes}
    EmailLog.objects.bulk_update(changed, ["changes"])
    rows.exclude(error="").exclude(error=ANONYMISED).update(error=REDACTED)
    rows.update(user_label=label, subject=REDACTED, text="", html="", payload="", sealed="", message_id="")
