"""Outcomes become states: what an attempt's end leads to, when the next one is due, and all of it written at once."""

import logging
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import router

from emails import fates, orphans, providers
from emails.kinds import KINDS
from emails.models import Delivery, EmailEvent, EmailLog, EmailRecipient, State
from emails.models.log import within
from emails.outcomes import Outcome
from emails.providers import PROVIDERS
from emails.rows import inserting, updating
from emails.sending import Ended
from emails.signals import announce, email_failed, email_sent
from emails.verdicts import Verdict

logger = logging.getLogger(__name__)

BACK_OFF, BACK_OFF_MOST = timedelta(seconds=30), timedelta(hours=1)
UNTRIED = {Verdict.UNREACHABLE, Verdict.THROTTLED, Verdict.CONFIGURATION}  # Ends that do not count as an attempt.
SETTLED = {
    Verdict.ACCEPTED: State.SENT,
    Verdict.REFUSED: State.SUPPRESSED,
    Verdict.PERMANENT: State.FAILED,
    Verdict.CANCELLED: State.CANCELLED,
    Verdict.MISMATCH: State.IN_DOUBT,
}
COLUMNS = (
    *("state", "error_class", "error", "message_id", "attempts", "doubtful", "uncertain", "sent_at", "run_at"),
    *("lease_until", "rescues"),
)
HELD = within(State.SENDING, State.IN_DOUBT)
REFUSALS = {"rejected": Delivery.REJECTED, "invalid": Delivery.REJECTED, "failed": Delivery.FAILED}


def write(ended: Sequence[Ended], now: datetime) -> int:
    """Write outcomes, in the transaction that is open: rows, timelines and recipients; returns how many were ours.

    A worker that lost its lease during a long call still resolves the doubt that the rescue left: what matters is that
    the row bears the attempt's token. `now` is the database's time.
    """
    using = router.db_for_write(EmailLog)
    states: dict[int, State] = {}  # By `id`, here and on the way here: `pk` takes Django three calls each time.
    rows = []
    for email, outcome in ended:
        state, columns = ending(email, outcome, now)
        states[email.id] = state
        rows.append(as_row(email, outcome, state, columns, now))
    update = updating(EmailLog, using, COLUMNS, keep=("sent_at", "run_at"), match=("attempt_token",), where=HELD)
    written = update(rows)
    ours = [(email, outcome) for email, outcome in ended if email.id in written]
    for email, _ in ended:
        if email.id not in written:
            logger.warning("email.lost_lease id=%s", email.id)
    note(ours, states, now, using)
    return len(ours)


def as_row(email: EmailLog, outcome: Outcome, state: State, columns: dict[str, Any], now: datetime) -> tuple[Any, ...]:
    return (
        email.id,
        email.attempt_token,
        state,
        outcome.error_class,
        columns.get("error", outcome.error),
        outcome.message_id,
        columns.get("attempts", email.attempts),
        columns.get("doubtful", False),
        email.uncertain or outcome.perhaps_sent or outcome.verdict is Verdict.AMBIGUOUS,
        now if state == State.SENT else None,
        columns.get("run_at"),
        None,
        0,  # Its worker lives: it is not what kills them.
    )


def note(ours: Sequence[Ended], states: dict[int, State], now: datetime, using: str) -> None:
    """What is written beside the rows: timelines, what was told of recipients, what webhooks told before."""
    rows, refusals, ids, reported = [], [], [], set()
    for email, outcome in ours:
        state = states[email.id]
        redirected = settings.EMAILS["REDIRECT_TO"] if outcome.asked else ""
        detail = {"error": outcome.error, "attempt": email.attempts, "redirected": redirected}
        detail |= {"message_id": outcome.message_id, "digest": email.digest if outcome.asked else ""}
        rows.append(EmailEvent.row_of_attempt(email, state, detail, now))
        of_recipients = told(email, outcome)
        ids += [(pk, message_id) for pk, message_id, _ in of_recipients]
        of_them = [refused(email, pk, REFUSALS[status], now) for pk, _, status in of_recipients if status in REFUSALS]
        refusals += of_them
        if of_them or (state != State.SENT and PROVIDERS[email.provider].reports):
            reported.add(email.id)
        if outcome.verdict is Verdict.MISMATCH:
            logger.error("email.key_mismatch id=%s provider=%s", email.id, email.provider)
        logger.info("email.%s id=%s provider=%s %s", state, email.id, email.provider, outcome.error_class)
    insert = inserting(EmailEvent, using)
    insert.values([[row[name] for name in insert.names] for row in rows])
    insert(refusals)
    updating(EmailRecipient, using, ("message_id",))(ids)
    sent = {email.id: outcome.message_id for email, outcome in ours if states[email.id] == State.SENT}
    failed = {email.id for email, _ in ours if states[email.id] in {State.FAILED, State.SUPPRESSED}}
    if reported:  # It may have been accepted after all, whatever was answered; then it has not failed either.
        failed -= fates.write(fates.lock(reported))
    for provider in {email.provider for email, _ in ours if email.id in sent and PROVIDERS[email.provider].receives}:
        orphans.adopt(provider, {message_id for message_id in sent.values() if message_id})
    announce(email_sent, {pk: {} for pk in sent}, using)
    announce(email_failed, {pk: {} for pk in failed}, using)


def refused(email: EmailLog, recipient: int, delivery: Delivery, now: datetime) -> EmailEvent:
    """The provider's answer said so of one recipient; it counts as its report."""
    event = EmailEvent.of_attempt(email, delivery, {}, now)
    event.recipient_id, event.reported, event.dedupe_key = recipient, True, f"{event.dedupe_key}:{recipient}"
    return event


def ending(email: EmailLog, outcome: Outcome, now: datetime) -> tuple[State, dict[str, Any]]:
    """The state that an outcome leads to, and what else is written with it."""
    verdict, kind = outcome.verdict, KINDS.get(email.kind)
    if verdict in SETTLED:
        return SETTLED[verdict], {}
    if outcome.perhaps_sent and kind is not None and kind.never_twice:
        verdict = Verdict.AMBIGUOUS
    doubtful = email.doubtful
    if verdict is Verdict.AMBIGUOUS and not (kind is not None and kind.on_doubt == "resend"):
        if not PROVIDERS[email.provider].remembers(email.first_tried_at or now, now):
            return State.IN_DOUBT, {}
        doubtful = True
    # One that only showed that the lane is still closed has not had its attempt.
    attempts = email.attempts - (verdict in UNTRIED or email.on_trial)
    columns: dict[str, Any] = {"attempts": attempts, "doubtful": doubtful}
    if attempts >= settings.EMAILS["MAX_ATTEMPTS"] or now - (email.first_tried_at or now) > settings.EMAILS["MAX_AGE"]:
        columns["error"] = f"Given up after {attempts} attempts. {outcome.error}".strip()
        return State.IN_DOUBT if doubtful else State.FAILED, columns
    return State.RETRYING, {**columns, "run_at": now + pause(email, verdict, outcome, now)}


def pause(email: EmailLog, verdict: Verdict, outcome: Outcome, now: datetime) -> timedelta:
    """How long to wait: full jitter over an interval that doubles with every attempt (AWS, "Exponential Backoff").

    Where no attempt is counted, the lane sees to it that nobody is asked too often, and the interval grows with age:
    one sender that is not verified must not be tried every minute for a day.
    """
    asked = timedelta(seconds=outcome.retry_after or 0)
    if verdict is Verdict.THROTTLED:
        return max(asked, timedelta(seconds=1))
    if verdict in UNTRIED and not email.uncertain and providers.fallback():
        return timedelta(seconds=1)  # The other provider can have it; where that one fails too, its lane waits.
    most = min(BACK_OFF_MOST, BACK_OFF * 2 ** min(max(email.attempts - 1, 0), 10))
    if verdict in UNTRIED:
        most = min(BACK_OFF_MOST, max(BACK_OFF, (now - email.created_at) / 2))
    return max(asked, timedelta(seconds=max(1.0, random.uniform(0, most.total_seconds()))))  # noqa: S311


def told(email: EmailLog, outcome: Outcome) -> list[tuple[int, str, str]]:
    """What the provider said of the recipients: (primary key, its message id, its word)."""
    return [
        (recipient.pk, *outcome.recipients[recipient.address])
        for recipient in email.reached
        if recipient.address in outcome.recipients and not recipient.suppressed
    ]
