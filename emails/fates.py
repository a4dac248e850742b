"""What reports come to is written: each recipient's fate, the message's delivery, and doubts that are none any more."""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import astuple, fields
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import router
from django.utils import timezone
from django.utils.translation import gettext_noop

from emails import overview
from emails.fold import Fate, Told, fold, overall, proves_acceptance, proves_refusal
from emails.models import DayCount, EmailEvent, EmailLog, EmailRecipient, State
from emails.models.daycount import day_of
from emails.providers import PROVIDERS
from emails.rows import updating
from emails.signals import announce, email_failed, email_sent, email_status_changed

logger = logging.getLogger(__name__)

FATE = tuple(field.name for field in fields(Fate))
# Where a report that proves acceptance settles what we could not know, or took for the contrary.
OPEN = {State.IN_DOUBT, State.RETRYING, State.CLAIMED, State.FAILED}
PROVED = gettext_noop("The provider's report proves that it was accepted.")
DISPROVED = gettext_noop("The provider's report says that it was not sent.")


def lock(pks: Collection[int]) -> list[EmailLog]:
    """The messages, locked until the transaction ends, so that of two requests the second sees the first one's reports.

    In the order of their keys, so that two never wait for each other.
    """
    names = ("pk", "created_at", "state", "delivery", "provider", "first_tried_at", "message_id")
    rows = EmailLog.objects.using(router.db_for_write(EmailLog)).filter(pk__in=pks).only(*names).order_by("pk")
    return list(rows.select_for_update(no_key=True)) if pks else []


def write(emails: Collection[EmailLog]) -> set[int]:
    """Fold the reports about these messages, which are locked, and write what has changed; returns whose state has."""
    if not emails:
        return set()
    using = router.db_for_write(EmailLog)
    reports = reports_of([email.pk for email in emails], using)
    recipients = defaultdict(list)
    for recipient in EmailRecipient.objects.using(using).filter(email__in=emails).order_by("pk"):
        recipients[recipient.email_id].append(recipient)
    changed: list[tuple[Any, ...]] = []
    for email in emails:
        address_of = {recipient.pk: recipient.address for recipient in recipients[email.pk]}
        for recipient in recipients[email.pk]:
            # By address: the same may stand in To and in Cc, and gets one copy.
            fate = fold(told for pk, told, _ in reports[email.pk] if pk and address_of.get(pk) == recipient.address)
            if astuple(fate) != tuple(getattr(recipient, name) for name in FATE):
                recipient.delivery = fate.delivery
                changed.append((recipient.pk, *astuple(fate)))
    updating(EmailRecipient, using, FATE)(changed)
    return settle(emails, recipients, reports, using)


def reports_of(pks: Collection[int], using: str) -> dict[int, list[tuple[int | None, Told, str]]]:
    """By message: (recipient's primary key, what was told, the provider's message id)."""
    found: dict[int, list[tuple[int | None, Told, str]]] = defaultdict(list)
    rows = EmailEvent.objects.using(using).filter(email__in=pks, reported=True).order_by("pk")
    names = ("email_id", "recipient_id", "type", "occurred_at", "dedupe_key", "message_id", "detail__undated")
    for email, recipient, kind, at, key, message_id, undated in rows.values_list(*names):
        found[email].append((recipient, Told(kind, None if undated else at, key), message_id))
    return found


def settle(emails: Iterable[EmailLog], recipients: Any, reports: Any, using: str) -> set[int]:
    """Write each message's delivery, and its state where the reports prove another one; returns of which they do."""
    now = timezone.now()
    rows: list[tuple[Any, ...]] = []
    events: list[EmailEvent] = []
    changes: dict[int, dict[str, Any]] = {}
    proofs: dict[int, str] = {}
    for email in emails:
        provider = PROVIDERS.get(email.provider)
        each = provider is None or provider.webhook is None or provider.webhook.names_recipient
        each = each and not settings.EMAILS["REDIRECT_TO"]
        reached = [recipient.delivery for recipient in recipients[email.pk] if not recipient.suppressed]
        delivery = overall(reached, each_reported=each)
        state, since = proved(email, reached, reports[email.pk])
        if (delivery, state) == (email.delivery, email.state):
            continue
        message_id = email.message_id or next((known for _, _, known in reports[email.pk] if known), "")
        old = email.status
        if state != email.state:
            reason = PROVED if state == State.SENT else DISPROVED
            key = f"{email.pk}:proof:{state}"
            proofs[email.pk] = state
            events.append(EmailEvent(email=email, type=state, dedupe_key=key, detail={"error": reason}))
            logger.info("email.proved id=%s from=%s to=%s", email.pk, email.state, state)
        proved_at = (since or now) if state == State.SENT != email.state else None
        rows.append((email.pk, delivery, state, message_id, proved_at))
        email.state, email.delivery = state, delivery
        if email.status != old:
            changes[email.pk] = {"old": old, "new": email.status}
    updating(EmailLog, using, ("delivery", "state", "message_id", "sent_at"), keep=("sent_at",))(rows)
    EmailEvent.objects.using(using).bulk_create(events, ignore_conflicts=True)
    announce(email_sent, {pk: {} for pk, state in proofs.items() if state == State.SENT}, using)
    announce(email_failed, {pk: {} for pk, state in proofs.items() if state != State.SENT}, using)
    announce(email_status_changed, changes, using)
    outdate(email for email in emails if email.pk in changes)
    return set(proofs)


def outdate(emails: Iterable[EmailLog]) -> None:
    """A report that comes so late that its day is not counted anew any more has it counted once more."""
    counted = timezone.now() - timedelta(days=overview.again())
    days = {day_of(email.created_at) for email in emails if email.created_at < counted}
    if days:
        DayCount.outdate(days)


def proved(
    email: EmailLog, deliveries: Collection[str], reports: Iterable[tuple[int | None, Told, str]]
) -> tuple[str, datetime | None]:
    """The state that the reports prove, and since when: its own where they prove nothing new.

    A refusal ends a doubt only where it is everybody's; and a later proof of acceptance ends that again, so that it
    does not matter which came first.
    """
    told = [told for _, told, _ in reports]
    types = [report.type for report in told]
    if email.first_tried_at is None or email.state not in OPEN:
        return email.state, None
    if proves_acceptance(types):
        return State.SENT, min((report.at for report in told if report.at is not None), default=None)
    if email.state == State.IN_DOUBT and proves_refusal(types) and set(deliveries) <= {"rejected", "failed"}:
        return State.FAILED, None
    return email.state, None
