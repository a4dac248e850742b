"""What may leave now: one worker's view of its provider's lane, and what it tells the lane of how attempts ended."""

import logging
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.conf import settings

from emails.models import EmailLog, Lane, Permit
from emails.outcomes import Outcome
from emails.providers import Provider
from emails.sending import Ended
from emails.verdicts import Verdict

logger = logging.getLogger(__name__)

FAILING = {Verdict.TRANSIENT, Verdict.UNREACHABLE, Verdict.AMBIGUOUS}
WAIT = 10.0  # Seconds to rest where the provider says "too many requests" without saying for how long.
OLD = 0.5  # Seconds; how old a look may be when something is to leave.
FRESH = 30.0  # Seconds; how old the lane's last success may grow before it is written again.


class Gate:
    def __init__(self, provider: Provider, lease: timedelta) -> None:
        self.key, self.lease = provider.key, lease
        self.rate: float | None = settings.EMAILS["RATE_LIMIT"]
        self.permits: dict[int, int] = {}  # A permit for each message on its way, by primary keys.
        self.succeeded_at = float("-inf")
        self.look()

    def look(self) -> None:
        self.lane = Lane.look(self.key)
        self.looked_at = time.monotonic()
        self.shut = self.lane.closed

    def look_again(self) -> None:
        """Look where the last look is old: a pause, or a lane that others have closed, must hold what is claimed.

        Not on trial: who has taken the right to try would find the lane closed until the next try.
        """
        if time.monotonic() - self.looked_at > OLD and not self.on_trial:
            self.look()

    @property
    def now(self) -> datetime:
        """The database's time: as of the last look, and carried on from there. This machine's own may be wrong."""
        return self.lane.now + timedelta(seconds=time.monotonic() - self.looked_at)

    @property
    def on_trial(self) -> bool:
        return self.lane.on_trial

    @property
    def patience(self) -> float:
        """Seconds until it is worth asking for permits again."""
        return 0.5 if self.rate is None else min(0.5, 0.25 / self.rate)

    def room(self, limit: int) -> int:
        """How many messages may be claimed now: none, one to try a lane that was closed, or `limit`."""
        self.look()
        if self.shut:
            return 0
        if self.on_trial:
            return 1 if self.lane.take_trial() else 0
        return limit

    def put_off_trial(self) -> None:
        """Give the right to try the lane back."""
        self.lane.put_off_trial()

    def permit(self, batch: Sequence[EmailLog]) -> list[EmailLog]:
        """Those of `batch` that may leave under the rate limit, which holds over all workers together."""
        if self.rate is None:
            return list(batch)
        taken = Permit.objects.take(self.key, len(batch), self.rate, self.lease)
        allowed = list(batch[: len(taken)])
        self.permits |= {email.pk: permit for email, permit in zip(allowed, taken, strict=True)}
        return allowed

    def renew(self) -> None:
        """Hold the permits of calls that take long."""
        if self.rate is not None and self.permits:
            Permit.objects.hold(self.permits.values(), self.rate, self.lease)

    def note(self, ended: Sequence[Ended]) -> None:
        """Tell the lane how attempts ended, in the order in which they did; in the transaction that is open."""
        outcomes = [outcome for _, outcome in ended]
        self.give_back(ended)
        alive = [n for n, outcome in enumerate(outcomes) if outcome.of_recipient or outcome.of_message]
        since = outcomes[alive[-1] + 1 :] if alive else outcomes
        failures = [outcome for outcome in since if outcome.verdict in FAILING]
        refusals = [outcome for outcome in outcomes if outcome.verdict is Verdict.CONFIGURATION]
        throttled = [outcome for outcome in outcomes if outcome.verdict is Verdict.THROTTLED]
        if failures:
            doubt = any(email.on_trial and outcome.verdict is Verdict.AMBIGUOUS for email, outcome in ended)
            if self.lane.fail(len(failures), words(failures[-1]), anew=bool(alive), in_doubt=doubt):
                self.alert("failing", failures[-1])
        elif refusals and not alive:
            if self.lane.refuse(words(refusals[-1])):
                self.alert("configuration", refusals[-1])
        elif alive:
            self.succeed()
        elif self.on_trial and not throttled:
            self.put_off_trial()  # It ended without a word of the provider's: another may try at once.
        if throttled:
            seconds = max(WAIT if outcome.retry_after is None else outcome.retry_after for outcome in throttled)
            self.lane.throttle(seconds, words(throttled[-1]))
        if failures or refusals or throttled:
            self.look()

    def succeed(self) -> None:
        """Open the lane where it was not, and keep its last success fresh; mostly there is nothing to write."""
        if self.on_trial:
            logger.warning("lane.opened provider=%s", self.key)
        if self.lane.reason or self.lane.failures or time.monotonic() - self.succeeded_at > FRESH:
            self.lane.succeed()
            self.succeeded_at = time.monotonic()
            self.look()

    def give_back(self, ended: Sequence[Ended]) -> None:
        used = [self.permits[email.pk] for email, _ in ended if email.pk in self.permits]
        if self.rate is not None and used:
            Permit.objects.give_back(used, self.rate)

    def forget(self, emails: Iterable[EmailLog], *, but: Iterable[EmailLog] = ()) -> None:
        """These are not on their way: they have ended, or they never set out. What was not given back runs out."""
        if self.permits:
            for email in set(emails).difference(but):
                self.permits.pop(email.pk, None)

    def alert(self, reason: str, outcome: Outcome) -> None:
        """Once for each time that the lane closes, and not for each message."""
        logger.error("lane.closed provider=%s reason=%s error=%s", self.key, reason, words(outcome))


def words(outcome: Outcome) -> str:
    return f"{outcome.error_class}: {outcome.error}".strip(": ")
