"""Claim, fence, send, settle: due messages leave through the provider, each at most once.

A message is `claimed` under a lease and a token, then `sending`, committed before its request, then settled by whoever
holds the token. A worker that dies leaves a stale lease behind: claimed messages go back into the queue, those that may
have left become `in_doubt`. The main thread alone talks to the database; the pool's threads only to the provider.
"""

import logging
import random
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connections, transaction
from django.db.models.functions import Now
from django.utils import timezone

from emails import providers
from emails.models import Delivery, EmailEvent, EmailLog, EmailRecipient, State
from emails.outcomes import Outcome, Verdict, frames
from emails.sending import Sender

logger = logging.getLogger(__name__)

LOOK = 0.5  # Seconds until the next look for due messages while some are on their way.
BACK_OFF, BACK_OFF_MOST = timedelta(seconds=30), timedelta(hours=1)
PATIENCE = timedelta(minutes=1)  # Until the next try where the message itself is not at fault.
UNTRIED = {Verdict.UNREACHABLE, Verdict.THROTTLED, Verdict.CONFIGURATION}  # Ends that do not count as an attempt.
SETTLED = {
    Verdict.ACCEPTED: State.SENT,
    Verdict.REFUSED: State.SUPPRESSED,
    Verdict.PERMANENT: State.FAILED,
    Verdict.AMBIGUOUS: State.IN_DOUBT,
    Verdict.CANCELLED: State.CANCELLED,
}


def drain(seconds: float) -> tuple[int, bool]:
    """Send due messages for about `seconds`; returns how many attempts were settled, and whether more are due."""
    with Drain() as running:
        settled = running.run(until=time.monotonic() + seconds)
    return settled, EmailLog.objects.due().exists()


class Drain:
    """One worker's turn at the queue."""

    def __init__(self) -> None:
        self.concurrency: int = settings.EMAILS["CONCURRENCY"]
        self.lease: timedelta = settings.EMAILS["LEASE"]
        self.provider = providers.active()
        self.sender = Sender()
        self.claimed: deque[EmailLog] = deque()
        self.flying: dict[Future[Outcome], EmailLog] = {}
        self.ended: list[tuple[EmailLog, Outcome]] = []  # Not written yet.
        self.renewed_at = time.monotonic()

    def __enter__(self) -> "Drain":
        self.pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="email")
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.pool.shutdown()
        self.sender.close()
        # Something is left only where an error ended the run: what is known must not become a doubt.
        self.collect(self.flying)
        self.settle()
        self.release(self.claimed)

    def run(self, until: float) -> int:
        """Work until nothing is due or the time is over; returns how many attempts were settled."""
        settled = 0
        while True:
            if time.monotonic() < until:
                if not self.claimed:
                    self.claim()
                self.launch()
            if not self.flying:
                return settled
            done, _ = wait(self.flying, timeout=LOOK, return_when=FIRST_COMPLETED)
            self.collect(done)
            settled += self.settle()
            self.renew()

    def collect(self, done: Iterable[Future[Outcome]]) -> None:
        self.ended += [(self.flying.pop(future), future.result()) for future in list(done)]

    def claim(self) -> None:
        with transaction.atomic(durable=True):
            emails = EmailLog.objects.claim(self.concurrency * 4, self.lease)
        EmailLog.objects.prefetch(emails)
        self.claimed.extend(emails)

    def launch(self) -> None:
        """Fence as many messages as threads are free, commit that, and let them leave."""
        batch = self.next(self.concurrency - len(self.flying))
        if not batch:
            return
        with transaction.atomic(durable=True):
            fenced = EmailLog.objects.fence(batch, self.lease, self.provider.key)
        for email in fenced:
            self.flying[self.pool.submit(self.sender.send, email, self.provider)] = email

    def next(self, free: int) -> list[EmailLog]:
        """Up to `free` claimed messages, one per address at a time: a farewell must not overtake the notice of it."""
        busy = {address for email in self.flying.values() for address in addresses(email)}
        batch: list[EmailLog] = []
        kept: list[EmailLog] = []
        for email in self.claimed:
            if len(batch) < free and busy.isdisjoint(addresses(email)):
                batch.append(email)
            else:
                kept.append(email)
            busy |= addresses(email)
        self.claimed = deque(kept)
        return batch

    def renew(self) -> None:
        """Keep the leases of messages whose call, or whose turn, takes long: time-outs of HTTP are per read."""
        if time.monotonic() - self.renewed_at < self.lease.total_seconds() / 3:
            return
        self.renewed_at = time.monotonic()
        for email in {held.attempt_token: held for held in [*self.claimed, *self.flying.values()]}.values():
            held = EmailLog.objects.held_under(email.attempt_token, State.CLAIMED, State.SENDING)
            held.update(lease_until=Now() + self.lease)

    def settle(self) -> int:
        """Write how attempts ended. A database that is away for a while costs time, not the knowledge of it."""
        deadline = time.monotonic() + self.lease.total_seconds()
        while self.ended:
            try:
                written = write(self.ended)
                self.ended.clear()
                return written
            except (OperationalError, InterfaceError) as error:
                if time.monotonic() > deadline:
                    raise
                logger.warning("delivery.database_away error=%s", type(error).__name__)
                connections[EmailLog.objects.db].close()
                time.sleep(0.5)
            except DatabaseError as error:
                logger.error("delivery.outcome_refused error=%s", frames(error))
                return self.settle_one_by_one()
        return 0

    def settle_one_by_one(self) -> int:
        """Where the database refuses a batch, one odd answer of a provider must not cost the others theirs."""
        written = 0
        for email, outcome in self.ended:
            try:
                written += write([(email, outcome)])
            except DatabaseError as error:
                written += write([(email, Outcome(Verdict.AMBIGUOUS, type(error).__name__, "Its answer was odd."))])
        self.ended.clear()
        return written

    def release(self, emails: Iterable[EmailLog]) -> None:
        """Give back messages that were claimed, but did not get their turn."""
        for token in {email.attempt_token for email in emails}:
            EmailLog.objects.held_under(token, State.CLAIMED).update(state=State.QUEUED, lease_until=None)


def addresses(email: EmailLog) -> set[str]:
    return {recipient.address for recipient in email.recipients.all()}


def write(ended: Iterable[tuple[EmailLog, Outcome]]) -> int:
    """Write outcomes in one transaction: each row, its timeline and its recipients together; returns their number."""
    events: list[EmailEvent] = []
    recipients: list[EmailRecipient] = []
    with transaction.atomic(durable=True):
        for email, outcome in ended:
            state, columns = ending(email, outcome)
            if not email.settle(state, **columns):
                logger.warning("email.lost_lease id=%s", email.pk)
                continue
            events.append(EmailEvent.of_attempt(email, state, {"error": outcome.error, "attempt": email.attempts}))
            recipients += told(email, outcome)
            logger.info("email.%s id=%s provider=%s %s", state, email.pk, email.provider, outcome.error_class)
        EmailEvent.objects.bulk_create(events)
        EmailRecipient.objects.bulk_update(recipients, ["message_id", "delivery", "delivery_at"])
    return len(events)


def ending(email: EmailLog, outcome: Outcome) -> tuple[State, dict[str, Any]]:
    """The state that an outcome leads to, and what is written with it."""
    columns: dict[str, Any] = {"error_class": outcome.error_class, "error": outcome.error}
    if outcome.verdict is Verdict.ACCEPTED:
        return State.SENT, {**columns, "sent_at": Now(), "message_id": outcome.message_id}
    if outcome.verdict in SETTLED:
        return SETTLED[outcome.verdict], columns
    attempts = email.attempts - (outcome.verdict in UNTRIED)
    columns["attempts"] = attempts
    exhausted = attempts >= settings.EMAILS["MAX_ATTEMPTS"]
    if exhausted or timezone.now() - email.created_at > settings.EMAILS["MAX_AGE"]:
        return State.FAILED, {**columns, "error": f"Given up after {attempts} attempts. {outcome.error}".strip()}
    return State.RETRYING, {**columns, "run_at": Now() + pause(email, outcome)}


def pause(email: EmailLog, outcome: Outcome) -> timedelta:
    """How long to wait: full jitter over an interval that doubles with every attempt (AWS, "Exponential Backoff")."""
    if outcome.verdict in UNTRIED:
        return PATIENCE
    most = min(BACK_OFF_MOST, BACK_OFF * 2 ** min(email.attempts - 1, 10))
    return timedelta(seconds=max(1.0, random.uniform(0, most.total_seconds())))  # noqa: S311


def told(email: EmailLog, outcome: Outcome) -> list[EmailRecipient]:
    """The recipients of whom the provider said something, changed but not saved."""
    changed = []
    for recipient in email.recipients.all():
        if recipient.address in outcome.recipients:
            recipient.message_id, status = outcome.recipients[recipient.address]
            if status in {"rejected", "invalid", "failed"}:
                recipient.delivery = Delivery.FAILED if status == "failed" else Delivery.REJECTED
                recipient.delivery_at = timezone.now()
            changed.append(recipient)
    return changed


RESCUES = {State.CLAIMED: State.QUEUED, State.SENDING: State.IN_DOUBT}
RESCUE_REASON = "The worker stopped while sending. Whether it left is not known."


def sweep() -> int:
    """Rescue what dead workers left behind; returns the number of messages. Any number of sweepers may run."""
    rescued = 0
    for state, rescue in RESCUES.items():
        error = RESCUE_REASON if rescue == State.IN_DOUBT else ""
        with transaction.atomic(durable=True):
            stale = EmailLog.objects.lock_stale(state)
            EmailLog.objects.filter(pk__in=[email.pk for email in stale]).update(
                state=rescue, lease_until=None, error=error
            )
            EmailEvent.objects.bulk_create(
                [EmailEvent.of_attempt(email, "rescued", {"from": state, "to": rescue}) for email in stale]
            )
        for email in stale:
            logger.warning("email.rescued id=%s from=%s to=%s", email.pk, state, rescue)
        rescued += len(stale)
    return rescued
