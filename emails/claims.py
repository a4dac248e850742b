"""What a worker has claimed but not sent: in order, one message per address at a time, given back when it stops."""

import logging
import random
import time
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Case, Value, When
from django.db.models.functions import Now
from django.utils.translation import gettext_noop

from emails.models import EmailEvent, EmailLog, State
from emails.providers import Provider
from emails.routes import due_for
from emails.suppression import leave_out

logger = logging.getLogger(__name__)

KEY_LOST = gettext_noop("An earlier attempt may have left, and the provider does not know our key any more.")
MOST = 128  # Messages that a worker with few senders claims at once.
QUICKLY = 1.0  # Seconds.
PATIENCE = 2.0  # Seconds, up to twice as many, for which a busy worker lets suspects wait.


class Claims:
    """One worker's: `few` at a time, so that others have their part, and more where these are gone in no time.

    A claim takes as long as writing a dozen outcomes, however many messages it is of.
    """

    def __init__(self, provider: Provider, lease: timedelta, few: int) -> None:
        self.provider, self.lease = provider, lease
        self.few = self.ahead = few  # `ahead` is how many to claim next.
        self.taken_at = self.looked_at = float("-inf")
        self.patience = PATIENCE * random.uniform(1, 2)  # noqa: S311 - so that not all workers stop at once
        self.emails: deque[EmailLog] = deque()

    def __len__(self) -> int:
        return len(self.emails)

    def any_due(self) -> bool:
        return EmailLog.objects.due().filter(due_for(self.provider)).exists()

    def must_wait(self) -> bool:
        """Whether what has been due longest may be what kills workers; looked up now and then, by who is busy."""
        if time.monotonic() - self.looked_at <= self.patience:
            return False
        due = EmailLog.objects.due().filter(due_for(self.provider)).order_by("run_at", "pk")
        if due.values_list("rescues", flat=True).first():
            return True
        self.looked_at = time.monotonic()
        return False

    def take(self, limit: int, now: datetime, *, busy: bool) -> int:
        """Claim up to `limit` due messages; returns how many, some of which may have ended by it.

        `now` is the database's time, `busy` whether others are in hand. Then suspects are passed by; after a while
        nothing is claimed where one is first, so that its turn comes as soon as the others have left.
        """
        if not busy:
            self.looked_at = time.monotonic()
        elif self.must_wait():
            return 0
        with transaction.atomic(using=EmailLog.objects.db, durable=True):
            safe: list[EmailLog] = []
            unsafe: list[EmailLog] = []
            claimed = EmailLog.objects.claim(limit, self.lease, due_for(self.provider), busy=busy)
            gone_quickly = len(claimed) >= self.ahead and time.monotonic() - self.taken_at < QUICKLY
            self.ahead = max(self.few, min(MOST, self.ahead * 2)) if gone_quickly else self.few
            self.taken_at = time.monotonic()
            for email in claimed:
                (safe if self.is_safe(email, now) else unsafe).append(email)
            self.hold(unsafe, now)
            EmailLog.objects.address(safe)
            safe = leave_out(safe, now)
        self.emails.extend(safe)
        return len(claimed)

    def is_safe(self, email: EmailLog, now: datetime) -> bool:
        """Whether another attempt makes no second copy of one that may have left."""
        if email.uncertain and email.provider != self.provider.key:
            return False  # Nobody else can know it again.
        if not email.doubtful:
            return True
        return email.provider == self.provider.key and self.provider.remembers(email.first_tried_at, now)

    def hold(self, emails: Iterable[EmailLog], now: datetime) -> None:
        """Leave to staff, or to the provider's report, what nobody can try again safely."""
        for email in emails:
            held = EmailLog.objects.held_under(email.attempt_token, State.CLAIMED).filter(pk=email.pk)
            held.update(state=State.IN_DOUBT, error=KEY_LOST, lease_until=None)
            EmailEvent.of_attempt(email, State.IN_DOUBT, {"error": KEY_LOST}, now).save()
            logger.warning("email.in_doubt id=%s provider=%s key_lost", email.pk, email.provider)

    def next(self, free: int, flying: Sequence[EmailLog]) -> list[EmailLog]:
        """Up to `free` messages to addresses that none is on its way to: a farewell must not overtake its notice."""
        busy = {address for email in flying for address in email.addresses}
        batch: list[EmailLog] = []
        kept: deque[EmailLog] = deque()
        while self.emails and len(batch) < free:
            email = self.emails.popleft()
            (batch if busy.isdisjoint(email.addresses) else kept).append(email)
            busy |= email.addresses
        self.put_back(kept)
        return batch

    def put_back(self, emails: Iterable[EmailLog]) -> None:
        self.emails.extendleft(reversed(list(emails)))

    def release(self) -> None:
        """Give back messages that did not get their turn."""
        emails, self.emails = list(self.emails), deque()
        # One whose fence may have been committed has not left either, but others could not know.
        fresh = When(state=State.CLAIMED, doubtful=False, then=Value(State.QUEUED))
        back = Case(fresh, default=Value(State.RETRYING))
        for token in {email.attempt_token for email in emails}:
            mine = EmailLog.objects.held_under(token, State.CLAIMED, State.SENDING)
            mine.filter(pk__in=[email.pk for email in emails]).update(state=back, lease_until=None)

    def renew(self, flying: Iterable[EmailLog]) -> None:
        """Keep the leases of what waits here and of what is on its way."""
        held = [*self.emails, *flying]
        for token in {email.attempt_token for email in held}:
            mine = EmailLog.objects.held_under(token, State.CLAIMED, State.SENDING)
            mine.filter(pk__in=[email.pk for email in held]).update(lease_until=Now() + self.lease)
