"""Whatever workers, their deaths, the sweeper and staff do in whatever order: nothing is sent twice or lost."""

import random
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.core.mail import EmailMessage
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from accounts.models import User
from emails import control, rescue, settling
from emails.models import EmailEvent, EmailLog, EmailRecipient, State
from emails.models.state import TRANSITIONS
from emails.outcomes import Outcome
from emails.verdicts import Verdict
from tests.examples import examples
from tests.log import force

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("asleep")]
LEASE = timedelta(seconds=60)
FINAL = {State.SENT, State.FAILED, State.SUPPRESSED, State.CANCELLED, State.EXPIRED, State.SKIPPED}


class Delivery(RuleBasedStateMachine):
    """Postmark, which knows no keys: only staff may cause a second copy, and only as a row of its own."""

    def __init__(self) -> None:
        super().__init__()
        for model in (EmailEvent, EmailRecipient, EmailLog):
            model._base_manager.all().delete()
        self.actor = User.objects.filter(username="staff").first() or User.objects.create(username="staff")
        EmailLog.objects.all().delete()
        self.recorded = 0
        self.claimed: list[EmailLog] = []
        self.sending: list[EmailLog] = []
        self.dead: list[EmailLog] = []  # Fenced by workers that are taken for dead, and may still speak.
        self.late: list[EmailLog] = []  # Claimed by workers that are taken for dead, and may still want to send.
        self.accepted: dict[UUID, int] = {}
        self.believed: set[UUID] = set()
        self.seen: dict[int, str] = {}

    @rule(count=st.integers(1, 3))
    def record(self, count: int) -> None:
        for _ in range(count):
            EmailMessage("s", "b", to=["a@example.com"]).send()
        self.recorded += count

    @rule(limit=st.integers(1, 4))
    def claim(self, limit: int) -> None:
        with transaction.atomic():
            emails = EmailLog.objects.claim(limit, LEASE)
        EmailLog.objects.address(emails)
        self.claimed += emails

    @rule(limit=st.integers(1, 4))
    def set_out(self, limit: int) -> None:
        if not self.recorded:
            self.record(limit)
        self.claim(limit)
        self.fence(limit)

    @precondition(lambda self: self.claimed)
    @rule(count=st.integers(1, 3))
    def fence(self, count: int) -> None:
        batch, self.claimed = self.claimed[:count], self.claimed[count:]
        for email in EmailLog.objects.fence(batch, timezone.now(), LEASE, "postmark"):
            email.state, email.attempts, email.provider = State.SENDING, email.attempts + 1, "postmark"
            self.sending.append(email)

    @precondition(lambda self: self.sending)
    @rule(verdict=st.sampled_from(Verdict), arrived=st.booleans())
    def answer(self, verdict: Verdict, arrived: bool) -> None:
        email = self.sending.pop(0)
        self.end(email, verdict, arrived)

    def end(self, email: EmailLog, verdict: Verdict, arrived: bool) -> None:
        if verdict is Verdict.ACCEPTED or (verdict is Verdict.AMBIGUOUS and arrived):
            self.accept(email)
        with transaction.atomic():
            settling.write([(email, Outcome(verdict))], timezone.now())

    def accept(self, email: EmailLog) -> None:
        self.accepted[email.ref] = self.accepted.get(email.ref, 0) + 1

    @precondition(lambda self: self.claimed or self.sending)
    @rule(arrived=st.booleans(), swept=st.booleans())
    def workers_die(self, arrived: bool, swept: bool) -> None:
        """Their leases run out; what they were sending may have arrived, or may yet be answered."""
        EmailLog.objects.filter(state__in=[State.CLAIMED, State.SENDING]).update(
            lease_until=timezone.now() - timedelta(seconds=1)
        )
        for email in self.sending:
            if arrived:
                self.accept(email)
            else:
                self.dead.append(email)
        self.late += self.claimed
        self.claimed, self.sending = [], []
        if swept:
            rescue.sweep()

    @precondition(lambda self: self.late)
    @rule()
    def a_dead_worker_wants_to_send(self) -> None:
        self.claimed, ours = self.late, self.claimed
        self.fence(len(self.late))
        self.claimed, self.late = ours, []

    @precondition(lambda self: self.dead)
    @rule()
    def a_dead_worker_speaks(self) -> None:
        self.end(self.dead.pop(0), Verdict.ACCEPTED, True)

    @rule()
    def sweep(self) -> None:
        rescue.sweep()

    @rule()
    def time_passes(self) -> None:
        EmailLog.objects.filter(state=State.RETRYING).update(run_at=timezone.now() - timedelta(seconds=1))

    @precondition(lambda self: self.recorded)
    @rule(verb=st.sampled_from(["cancel", "hurry", "believe", "send_again"]), pick=st.integers(0, 20))
    def staff(self, verb: str, pick: int) -> None:
        email = EmailLog.objects.order_by("pk")[pick % self.recorded]
        arguments: list[Any] = [] if verb == "hurry" else ["because"]
        try:
            getattr(control, verb)(email, self.actor, *arguments)
        except control.NotNow:
            return
        if verb == "believe":
            self.believed.add(email.ref)
        if verb == "send_again":
            self.recorded += 1

    @invariant()
    def nothing_is_sent_twice(self) -> None:
        assert all(copies == 1 for copies in self.accepted.values())

    @invariant()
    def nothing_is_lost(self) -> None:
        rows = list(EmailLog.objects.values_list("ref", "state"))
        assert len(rows) == self.recorded
        for ref, state in rows:
            if state == State.SENT:
                assert ref in self.accepted or ref in self.believed
            if ref in self.accepted:  # What has arrived is never offered to be sent once more as if it had not.
                assert state not in {State.QUEUED, State.RETRYING, State.CLAIMED, State.CANCELLED}

    @invariant()
    def every_step_is_in_the_table(self) -> None:
        for pk, state in EmailLog.objects.values_list("pk", "state"):
            before = self.seen.get(pk, State.QUEUED)
            assert state == before or reachable(State(before), State(state)), (before, state)
            self.seen[pk] = state


def reachable(before: State, after: State) -> bool:
    """Whether one or more steps of the table lead there: a rule may take several."""
    known, border = {before}, {before}
    while border:
        border = {to for state in border for to in TRANSITIONS.get(state, set())} - known
        known |= border
    return after in known


def test_no_order_of_events_sends_twice_or_loses() -> None:
    run_state_machine_as_test(
        Delivery,
        settings=settings(
            max_examples=examples(40, 200),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("before", State)
def test_the_database_refuses_every_step_that_is_not_in_the_table(before: State) -> None:
    EmailMessage("s", "b", to=["a@example.com"]).send()
    email = EmailLog.objects.get()
    for after in State:
        force(email, state=before)
        allowed = after == before or after in TRANSITIONS.get(before, set())
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("UPDATE emails_emaillog SET state = %s WHERE id = %s", [after, email.pk])
        except DatabaseError:
            assert not allowed, (before, after)
        else:
            assert allowed, (before, after)


@pytest.mark.parametrize("state", ["", "done", "SENT"])
def test_the_database_knows_no_other_state(state: str) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        EmailLog.objects.create(state=state)


def test_the_pause_is_drawn_from_an_interval_that_doubles() -> None:
    """Back-off is drawn anew each time, and never longer than it may be."""
    random.seed(1)
    email = EmailLog(created_at=timezone.now(), attempts=3)
    waits = {settling.pause(email, Verdict.TRANSIENT, Outcome(Verdict.TRANSIENT), timezone.now()) for _ in range(200)}
    assert len(waits) > 150
    assert max(waits) <= timedelta(seconds=120)
    late = EmailLog(created_at=timezone.now(), attempts=30)
    most = max(settling.pause(late, Verdict.TRANSIENT, Outcome(Verdict.TRANSIENT), timezone.now()) for _ in range(200))
    assert timedelta(minutes=50) < most <= timedelta(hours=1)
