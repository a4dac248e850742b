"""Claim, fence, send, settle: due messages leave through the provider, each at most once.

A message is `claimed` under a lease and a token, then `sending`, committed before its request, then settled by whoever
holds the token. One thread talks to the database, others to the provider: no transaction is open during a request.
"""

import logging
import threading
import time
from contextlib import suppress
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connections, transaction
from django.db.models import prefetch_related_objects

from emails import providers
from emails.claims import Claims
from emails.gate import Gate
from emails.minting import mint
from emails.models import EmailLog, State
from emails.outcomes import Outcome
from emails.payload import has_attachments
from emails.providers import Provider
from emails.sending import Ended, Senders, kept_senders
from emails.settling import write
from emails.verdicts import Verdict
from emails.wording import frames

logger = logging.getLogger(__name__)

LOOK = 0.5  # Seconds until the next look for due messages while some are on their way.
GATHER = 0.003  # Seconds in which answers gather, so that one transaction writes many.
MANY = 0.25  # Of what may be in flight: as many answers wait for no others.
LINGER = 60.0  # Seconds that a drain may go on beside a call that hangs, after its own time is over.


class Drain:
    """One worker's turn at the queue, or all its life: it works until nothing is due, its time is over, or `stop`."""

    def __init__(self, senders: Senders, provider: Provider) -> None:
        self.concurrency: int = settings.EMAILS["CONCURRENCY"]
        self.lease: timedelta = settings.EMAILS["LEASE"]
        self.provider = provider
        self.gate = Gate(self.provider, self.lease)
        self.using = EmailLog.objects.db
        self.senders = senders
        self.claims = Claims(self.provider, self.lease, self.concurrency * 4)
        self.flying: dict[int, tuple[EmailLog, float]] = {}  # By primary key, with when it left.
        self.answers: SimpleQueue[Ended | None] = SimpleQueue()
        self.ended: list[Ended] = []  # Not written yet.
        self.stopping = threading.Event()
        self.renewed_at = time.monotonic()

    def __enter__(self) -> "Drain":
        return self

    def __exit__(self, *exc_info: Any) -> None:
        """Wait for what is in flight: what is known must not become a doubt. The rest goes back into the queue."""
        while self.flying:
            self.gather(LOOK)
            self.senders.break_off()
            self.renew()
        self.settle()
        self.claims.release()

    def stop(self) -> None:
        """Take nothing new, from any thread."""
        self.stopping.set()
        self.wake()

    def wake(self) -> None:
        """Look for due messages now, from any thread."""
        self.answers.put(None)

    def run(self, until: float) -> int:
        """Work until nothing is due or the time is over; returns how many attempts were settled."""
        settled = 0
        while True:
            working = self.goes_on(until)
            if self.gate.shut or not working:
                self.claims.release()
            taken = working and len(self.claims) < self.concurrency and self.claim()
            if not (taken or self.in_hand):
                return settled
            written, launched = self.turn()
            settled += written
            if not launched and (self.flying or self.claims):
                self.gather(self.gate.patience if self.claims else LOOK)
            self.senders.break_off()
            self.renew()

    def goes_on(self, until: float) -> bool:
        """Whether to take more: while there is time, and beside a call that hangs also a while longer."""
        now = time.monotonic()
        if self.stopping.is_set() or now > until + LINGER:
            return False
        return now < until or any(now - left > 1 for _, left in self.flying.values())

    def gather(self, timeout: float) -> None:
        """Wait for an answer, and for those that come right after it."""
        with suppress(Empty):
            self.take(self.answers.get(timeout=timeout))
            if self.concurrency > 1 and self.flying and self.answers.qsize() < self.concurrency * MANY:
                time.sleep(GATHER)
            while True:
                self.take(self.answers.get_nowait())

    def take(self, answer: Ended | None) -> None:
        if answer is not None:
            self.flying.pop(answer[0].id)
            self.ended.append(answer)

    def claim(self) -> int:
        """Claim what may be beside what is in hand; returns how many messages, some of which may have ended by it."""
        if self.gate.on_trial and (self.flying or self.claims or not self.claims.any_due()):
            return 0  # The one that tries is on its way, or there is none.
        if any(email.rescues for email in self.in_hand):
            return 0  # It leaves alone.
        room = self.gate.room(self.claims.ahead)
        taken = self.claims.take(room, self.gate.now, busy=bool(self.in_hand)) if room else 0
        if self.gate.on_trial and room and not self.claims:
            self.gate.put_off_trial()  # There is none that can be tried.
        return taken

    def turn(self) -> tuple[int, int]:
        """Write what has ended and fence what leaves next, in one transaction; then let it leave.

        Together, so that never more messages are `sending` than there are senders: a kill leaves no more doubts.
        """
        self.gate.look_again()
        batch = self.next()
        if not batch and not self.ended:
            return 0, 0
        try:
            with transaction.atomic(using=self.using, durable=True):
                written = self.write()
                allowed = [] if self.gate.shut else self.gate.permit(batch)
                ready = mint(allowed, self.gate.now)
                fenced = EmailLog.objects.fence(ready, self.gate.now, self.lease, self.provider.key)
                with_attachments = [email for email in fenced if has_attachments(email.payload)]
                prefetch_related_objects(with_attachments, "attachments")  # Read only now: they may be large.
        except (DatabaseError, InterfaceError) as error:
            self.gate.forget(batch)
            if self.ended or isinstance(error, (OperationalError, InterfaceError)):
                self.claims.put_back(batch)  # Nobody knows whether it was committed: to be fenced anew.
            # Else it is one of them, in every worker's way: they stay claimed, are rescued, and then leave one by one.
            if not self.ended:
                raise
            logger.warning("delivery.turn_failed error=%s", type(error).__name__)
            return self.settle(), 0
        self.claims.put_back(batch[len(allowed) :])
        self.gate.forget(allowed, but=fenced)
        self.forget()
        self.launch(fenced)
        return written, len(fenced)

    def next(self) -> list[EmailLog]:
        free = self.concurrency - len(self.flying)
        if self.gate.shut:
            free = 0
        elif self.gate.on_trial:
            free = 0 if self.flying else 1
        return self.claims.next(free, self.on_its_way)

    @property
    def on_its_way(self) -> list[EmailLog]:
        return [email for email, _ in self.flying.values()]

    @property
    def in_hand(self) -> list[EmailLog]:
        """What would go down with this worker: claimed, on its way, or ended and not written yet."""
        return [*self.claims.emails, *self.on_its_way, *(email for email, _ in self.ended)]

    def write(self) -> int:
        if not self.ended:
            return 0
        self.gate.note(self.ended)
        return write(self.ended, self.gate.now)

    def forget(self) -> None:  # What has ended is written and committed.
        self.gate.forget(email for email, _ in self.ended)
        self.ended.clear()

    def launch(self, fenced: list[EmailLog]) -> None:
        for email in fenced:
            email.state, email.attempts, email.provider = State.SENDING, email.attempts + 1, self.provider.key
            email.first_tried_at = email.first_tried_at or self.gate.now
            email.on_trial = self.gate.on_trial
            self.flying[email.id] = (email, time.monotonic())
            self.senders.submit(email, self.provider, self.answers, trial=email.on_trial)

    def renew(self) -> None:
        """Keep the leases of messages whose call, or whose turn, takes long: time-outs of HTTP are per read."""
        if time.monotonic() - self.renewed_at < self.lease.total_seconds() / 3:
            return
        self.renewed_at = time.monotonic()
        try:
            self.claims.renew(self.on_its_way)
            self.gate.renew()
        except (OperationalError, InterfaceError) as error:
            logger.warning("delivery.database_away error=%s", type(error).__name__)
            connections[self.using].close()

    def settle(self) -> int:
        """Write how attempts ended. A database that is away for a while costs time, not the knowledge of it."""
        deadline = time.monotonic() + self.lease.total_seconds()
        while self.ended:
            try:
                with transaction.atomic(using=self.using, durable=True):
                    written = self.write()
                self.forget()
                return written
            except (OperationalError, InterfaceError) as error:
                if time.monotonic() > deadline:
                    raise
                logger.warning("delivery.database_away error=%s", type(error).__name__)
                connections[self.using].close()
                time.sleep(0.5)
            except DatabaseError as error:
                logger.error("delivery.outcome_refused error=%s", frames(error))
                return self.settle_one_by_one()
        return 0

    def settle_one_by_one(self) -> int:
        """Where the database refuses a batch, one odd answer of a provider must not cost the others theirs."""
        written, ended, self.ended = 0, self.ended, []
        with transaction.atomic(using=self.using, durable=True):
            self.gate.note(ended)
        for email, outcome in ended:
            for attempt in (outcome, Outcome(Verdict.AMBIGUOUS, "OddAnswer", "Its answer was odd.")):
                try:
                    with transaction.atomic(using=self.using, durable=True):
                        written += write([(email, attempt)], self.gate.now)
                    break
                except DatabaseError as error:
                    logger.error("email.outcome_refused id=%s error=%s", email.id, type(error).__name__)
        self.gate.forget(email for email, _ in ended)
        return written


def drain(seconds: float) -> tuple[int, bool]:
    """Send due messages for about `seconds`; returns how many attempts were settled, and whether more are due."""
    settled, until = 0, time.monotonic() + seconds
    for provider in providers.in_use():
        with Drain(kept_senders(provider), provider) as running:
            settled += running.run(until)
    return settled, EmailLog.objects.due().exists()
