"""Messages become rows of the log, in the caller's transaction, and delivery is woken when it commits."""

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.mail import EmailMessage
from django.db import connections, router, transaction
from django.utils import timezone

from emails import outbox
from emails.addresses import bare
from emails.cause import Cause, Recorded, current
from emails.envelope import readdressed
from emails.facts import Facts
from emails.models import EmailAttachment, EmailLog, EmailRecipient, State, Suppression
from emails.payload import Payload, dump, storable
from emails.sealing import seal
from emails.signals import announce, email_failed
from emails.suppression import bars, nobody_left, words


def record(messages: Sequence[EmailMessage]) -> list[EmailLog]:
    """Record messages as queued, all or none, each as `message.email_log`: in some 4 inserts, however many there are.

    Raises UnstorableMessage before anything is written. The caller's transaction stays usable where the database
    refuses a row, since some callers (Django's PasswordResetForm) swallow errors of send().
    """
    pieces = [seal(dump(message), str(message.subject)) for message in messages]
    payloads = [payload for payload, _sealed, _subject in pieces]
    reached = [addressed(message) for message in messages]
    using = router.db_for_write(EmailLog)
    # What add_at_once does has a savepoint of its own, without a round trip for it.
    with nullcontext() if connections[using].in_atomic_block else transaction.atomic(using=using):
        now = timezone.now()
        emails = [row(message, *piece, current(), now) for message, piece in zip(messages, pieces, strict=True)]
        entries = list(map(outbox.Entry, emails, reached, map(attached, payloads)))
        if len(entries) != 1 or not outbox.add_at_once(entries[0], using):
            with transaction.atomic(using=using):
                barred = Suppression.among({recipient.address for to in reached for recipient in to})
                if barred:
                    for email, to in zip(emails, reached, strict=True):
                        leave_out(email, to, barred)
                outbox.add(entries, using)
        for email, to, message in zip(emails, reached, messages, strict=True):
            message.email_log = email  # type: ignore[attr-defined]
            note(email, [recipient.formatted for recipient in to], using)
        announce(email_failed, {email.pk: {} for email in emails if email.state == State.SUPPRESSED}, using)
    return emails


def record_unsent(facts: Facts, state: State, reason: str, address: str = "") -> EmailLog:
    """Record an email that is not sent, with the reason: nobody should wonder why nothing happened."""
    using = router.db_for_write(EmailLog)
    with transaction.atomic(using=using):
        email = EmailLog(**about(facts, current()), state=state, error=reason)
        email.save(using=using, force_insert=True)
        if address:
            EmailRecipient.objects.using(using).create(
                email=email, field="to", formatted=address, address=bare(address)
            )
        note(email, [address] if address else [], using)
    return email


def record_again(old: EmailLog, to: str = "") -> EmailLog:
    """Record what `old` says once more, under a reference of its own; queued like any other.

    To the same addresses, or to the one of `to` alone.
    """
    using, cause = router.db_for_write(EmailLog), current()
    copied = (
        *("kind", "user_id", "user_label", "changes", "language", "template"),
        *("from_email", "subject", "text", "html", "payload"),
    )
    new = EmailLog(
        **{name: getattr(old, name) for name in copied},
        resend_of=old,
        actor_id=cause.actor_pk,
        actor_label=cause.actor_label[:320],
        cause=storable(cause.text),
    )
    reached = [(one.field, one.formatted, one.address) for one in old.recipients.all()]
    if to:
        new.payload, reached = readdressed(old.payload, to), [("to", to, bare(to))]
    with transaction.atomic(using=using):
        recipients = [EmailRecipient(field=f, formatted=given, address=a) for f, given, a in reached]
        names = ("position", "filename", "mimetype", "content", "size")
        attachments = [
            EmailAttachment(**{name: getattr(attachment, name) for name in names})
            for attachment in old.attachments.all()
        ]
        outbox.add([outbox.Entry(new, recipients, attachments)], using)
        note(new, [recipient.formatted for recipient in recipients], using)
    return new


def note(email: EmailLog, to: list[str], using: str) -> None:
    """Leave word with the cause, which may want to tell somebody."""
    recorded = Recorded(email.pk, email.ref, email.kind, email.state, email.error, to)
    current().recorded.append(recorded)
    transaction.on_commit(recorded, using=using)


def recorded_by(cause: Cause) -> list[Recorded]:
    """What the cause has led to and no rollback has taken back; costs no query."""
    hooks = {id(hook[1]) for hook in connections[router.db_for_write(EmailLog)].run_on_commit}
    return [recorded for recorded in cause.recorded if recorded.committed or id(recorded) in hooks]


def retract(refs: Collection[UUID]) -> None:
    """Take back messages of the transaction that is open, which nobody else has seen."""
    EmailLog.objects.filter(ref__in=refs, attempts=0).exclude(state=State.CLAIMED).delete()
    cause = current()
    cause.recorded[:] = [recorded for recorded in cause.recorded if recorded.ref not in refs]


def about(facts: Facts, cause: Cause) -> dict[str, Any]:
    return {
        "kind": facts.kind,
        "user_id": facts.user_id,
        "user_label": facts.user_label[:320],
        "changes": dict(facts.changes),
        "language": facts.language,
        "template": facts.template,
        "actor_id": cause.actor_pk,
        "actor_label": cause.actor_label[:320],
        "cause": storable(cause.text),  # A path may hold what no database takes.
    }


def row(message: EmailMessage, payload: Payload, sealed: str, subject: str, cause: Cause, now: datetime) -> EmailLog:
    facts: Facts = getattr(message, "facts", Facts())
    return EmailLog(
        created_at=facts.written_at or now,
        secret=facts.secret_digest,
        sealed=sealed,
        has_sealed=bool(sealed),
        **about(facts, cause),
        from_email=str(message.from_email),
        subject=subject,
        text=payload.text,
        html=payload.html,
        payload=payload.data,
    )


def addressed(message: EmailMessage) -> list[EmailRecipient]:
    return [
        EmailRecipient(field=field, formatted=str(value), address=bare(str(value)))
        for field in ("to", "cc", "bcc")
        for value in getattr(message, field)
        if value
    ]


def leave_out(email: EmailLog, to: Sequence[EmailRecipient], barred: dict[str, str]) -> None:
    """Mark recipients that are suppressed; the message as well, where nobody is left whom it is addressed to."""
    for recipient in to:
        recipient.suppressed = bars(barred.get(recipient.address), email.kind)
    reasons = [barred[recipient.address] for recipient in to if recipient.suppressed]
    if reasons and nobody_left(to):
        email.state, email.error = State.SUPPRESSED, words(reasons)


def attached(payload: Payload) -> list[EmailAttachment]:
    return [
        EmailAttachment(
            position=position,
            filename=stored.filename,
            mimetype=stored.mimetype,
            content=stored.content,
            size=len(stored.content),
        )
        for position, stored in enumerate(payload.attachments)
    ]
