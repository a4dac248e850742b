"""What dead workers left behind: taken from them when their lease is over, by the database's clock."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import groupby, islice

from django.conf import settings
from django.db import router, transaction
from django.utils.translation import gettext_noop

from emails import fates
from emails.kinds import KINDS
from emails.models import EmailEvent, EmailLog, State
from emails.models.state import DUE
from emails.providers import PROVIDERS
from emails.rows import inserting, updating
from emails.signals import announce, email_failed

logger = logging.getLogger(__name__)

POISON = 3  # Rescues after which a message is what kills its workers.
CALM = timedelta(seconds=30)  # Before its last try: workers may have died of something else, and together.
# Stored in English, and translated where staff read them.
POISON_REASON = gettext_noop("Given up: three workers died while they held it.")
DOUBT_REASON = gettext_noop("The worker stopped while sending. Whether it left is not known.")
SAFE_REASON = gettext_noop(
    "The worker stopped while sending. The provider knows our key, so another try makes no second copy."
)


def sweep() -> int:
    """Rescue stale messages; returns their number. Any number of sweepers may run."""
    return sum(rescue(state) for state in (State.CLAIMED, State.SENDING))


def rescue(state: State) -> int:
    using = router.db_for_write(EmailLog)
    with transaction.atomic(using=using, durable=True):
        stale = EmailLog.objects.using(using).lock_stale(state)
        suspected = suspects(stale, using)
        for email in stale:
            email.rescues += email.pk in suspected
        ends = [(email, *fate(email)) for email in stale]
        columns = ("state", "error", "doubtful", "uncertain", "rescues", "lease_until", "run_at")
        updating(EmailLog, using, columns, keep=("run_at",))(
            [
                (
                    *(email.pk, to, reason, email.doubtful or reason == SAFE_REASON),
                    *(email.uncertain or state == State.SENDING, email.rescues, None),
                    email.now + CALM if to in DUE and email.rescues == POISON - 1 else None,  # type: ignore[attr-defined]
                )
                for email, to, reason in ends
            ]
        )
        inserting(EmailEvent, using)(
            [
                EmailEvent.of_attempt(email, "rescued", {"from": state, "to": to, "error": reason}, email.now)  # type: ignore[attr-defined]
                for email, to, reason in ends
            ]
        )
        announce(email_failed, {email.pk: {} for email, to, _ in ends if to == State.FAILED}, using)
        if state == State.SENDING:  # A report may have been quicker than this, and knows what became of it.
            fates.write(fates.lock([email.pk for email in stale]))
    for email, to, _ in ends:
        logger.warning("email.rescued id=%s from=%s to=%s", email.pk, state, to)
    return len(ends)


def suspects(stale: Sequence[EmailLog], using: str) -> set[int]:
    """Primary keys of those that may have killed their worker; the rest of its claim was only waiting behind them.

    All that were sending, and of each claim, in its order, as many as a worker sends at once: those that it may have
    read and given their links when it died. Of several to one address the first, as Claims.next has it. Where that is
    not enough (another worker's concurrency, a message to many), the next death finds what was behind.
    """
    found = {email.pk for email in stale if email.state == State.SENDING}
    claimed = [email for email in stale if email.state == State.CLAIMED]
    EmailLog.objects.using(using).address(claimed)
    for _, claim in groupby(claimed, key=lambda email: email.attempt_token):
        found.update(islice(first_of_each_address(claim), settings.EMAILS["CONCURRENCY"]))
    return found


def first_of_each_address(claim: Iterable[EmailLog]) -> Iterator[int]:
    busy: set[str] = set()
    for email in claim:
        if busy.isdisjoint(email.addresses):
            yield email.pk
        busy |= email.addresses


def fate(email: EmailLog) -> tuple[State, str]:
    """Where a stale message goes, and why."""
    if email.rescues >= POISON:  # Given up in any case; but what may have left is not said to have failed.
        unsure = email.state == State.SENDING or email.doubtful
        return State.IN_DOUBT if unsure else State.FAILED, POISON_REASON
    if email.state == State.CLAIMED:  # Nothing has left. With a doubt of before it goes back to where it was.
        return (State.RETRYING, email.error) if email.doubtful else (State.QUEUED, email.error)
    kind = KINDS.get(email.kind)
    if kind is not None and kind.on_doubt == "resend":
        return State.RETRYING, DOUBT_REASON
    provider = PROVIDERS.get(email.provider)
    if provider is not None and provider.remembers(email.first_tried_at, email.now):  # type: ignore[attr-defined]
        return State.RETRYING, SAFE_REASON
    return State.IN_DOUBT, DOUBT_REASON
