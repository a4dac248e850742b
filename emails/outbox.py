"""A message's rows, all or none: itself, its recipients and attachments, and what wakes delivery at the commit."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import connections, transaction

from emails import tasks
from emails.models import EmailAttachment, EmailLog, EmailRecipient, State, Suppression
from emails.rows import inserting
from emails.script import at_once, takes_several

BY_REF = f"FROM {EmailLog._meta.db_table} WHERE ref = %s"
FEW = 6  # Parts of a message. With more, one insert for all of them is as quick as one round trip.


class Entry(NamedTuple):
    """A message that is not written yet, with its parts."""

    email: EmailLog
    recipients: list[EmailRecipient]
    attachments: list[EmailAttachment]


class WakeUp:
    """Wakes a worker, once. A wake-up that is lost costs seconds, not mail: the sweeper finds what is due."""

    done = False

    def __init__(self, *, enqueued: bool) -> None:
        self.enqueued = enqueued

    def __call__(self) -> None:
        """At commit."""
        self.done = True
        if not self.enqueued:
            self.enqueued = True
            tasks.enqueued(tasks.deliver)


def add(entries: Sequence[Entry], using: str) -> None:
    """Write new rows in the transaction that is open."""
    inserting(EmailLog, using, "run_at")([entry.email for entry in entries])
    for entry in entries:
        part: Any
        for part in (*entry.recipients, *entry.attachments):
            part.email_id = entry.email.pk
    inserting(EmailRecipient, using)([one for entry in entries for one in entry.recipients])
    inserting(EmailAttachment, using)([one for entry in entries for one in entry.attachments])
    if needs_wake_up([entry.email for entry in entries], using):
        joins = tasks.joins_transaction(using)
        if joins:
            tasks.enqueued(tasks.deliver)
        transaction.on_commit(WakeUp(enqueued=joins), using=using, robust=True)


def add_at_once(entry: Entry, using: str) -> bool:
    """As `add`, for the one message of a click and in one round trip.

    False, and nothing is written, where that can't be: one of its addresses is suppressed, it has more than a few parts
    (of which many are quicker in one insert), or the database does not take several statements at once.
    """
    email, addresses = entry.email, [recipient.address for recipient in entry.recipients]
    parts: list[tuple[Any, Any]] = [(inserting(EmailRecipient, using), recipient) for recipient in entry.recipients]
    parts += [(inserting(EmailAttachment, using), attachment) for attachment in entry.attachments]
    if not addresses or len(parts) > FEW or not takes_several(using):
        return False
    log = inserting(EmailLog, using, "run_at")
    wakes = needs_wake_up([email], using)
    task = tasks.enqueuing(using, BY_REF, [email.ref]) if wakes else None
    # What comes after the message finds it by its reference, and nothing where it was not written.
    keys, *others = at_once(
        using,
        log.statement(email, f"WHERE NOT EXISTS (SELECT 1 {Suppression.barring(len(addresses))})", addresses),
        *(insert.statement(part, BY_REF, [email.ref], email_id="id") for insert, part in parts),
        *([task] if task else []),
    )
    if not keys:
        return False
    log.inserted([email], keys)
    for (insert, part), its_keys in zip(parts, others[: len(parts)], strict=True):
        insert.inserted([part], its_keys)
        part.email_id = email.pk
    if wakes:
        transaction.on_commit(WakeUp(enqueued=bool(task)), using=using, robust=True)
    return True


def needs_wake_up(emails: Sequence[EmailLog], using: str) -> bool:
    """Whether one of them is to be sent, and nothing in this transaction wakes delivery yet."""
    # A hook that a rolled-back savepoint took away is not in the list any more, so that a later message adds its own.
    awaited = any(isinstance(hook[1], WakeUp) and not hook[1].done for hook in connections[using].run_on_commit)
    return not awaited and any(email.state == State.QUEUED for email in emails)
