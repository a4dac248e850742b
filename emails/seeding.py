"""A log as years of use would have filled it: for trying the admin, and for measuring it. Never in production."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from emails.kinds import KINDS
from emails.models import DayCount, EmailLog, EmailRecipient, State

BATCH = 5_000
DAYS = 365
PEOPLE = 100_000  # Addresses, some of which get far more mail than others.
# Out of a thousand: what became of a message, and what the provider reported.
FATES = (
    *((930, State.SENT, "delivered"), (22, State.SENT, ""), (18, State.SENT, "bounced"), (2, State.SENT, "complained")),
    *((3, State.SENT, "deferred"), (10, State.FAILED, ""), (5, State.SUPPRESSED, ""), (7, State.SKIPPED, "")),
    *((1, State.IN_DOUBT, ""), (1, State.CANCELLED, ""), (1, State.EXPIRED, "")),
)
DOMAINS = ("example.com", "mail.example.org", "example.net", "post.example.de", "example.co.uk")
REASONS = {State.FAILED: "550 5.1.1 mailbox does not exist", State.SKIPPED: "This kind of email is switched off."}


def seed(count: int, progress: Callable[[int], None] = lambda done: None, chance: int = 1) -> int:
    """Add `count` finished messages of the past year, oldest first; returns how many. `progress` hears of batches."""
    drawn = random.Random(chance)  # noqa: S311 - nothing is kept secret by it.
    now, done = timezone.now(), 0
    while done < count:
        size = min(BATCH, count - done)
        made = []
        for number in range(done, done + size):
            written = now - timedelta(days=DAYS) * (1 - (number + 1) / (count + 1))
            made.append(message(drawn, f"{chance}-{number}", written))
        with transaction.atomic():
            EmailLog.objects.bulk_create([email for email, _ in made])
            EmailRecipient.objects.bulk_create([recipient for _, recipient in made])
        done += size
        progress(done)
    DayCount.objects.all().delete()  # The days it has filled are counted anew.
    return done


def message(drawn: random.Random, name: str, written: datetime) -> tuple[EmailLog, EmailRecipient]:
    """One message and its recipient, not saved yet; `name` makes its message id."""
    ((_weight, state, delivery),) = drawn.choices(FATES, [weight for weight, *_ in FATES])
    kinds = [*KINDS, ""]
    kind = kinds[min(int(drawn.expovariate(0.35)), len(kinds) - 1)]
    person = int(PEOPLE * drawn.random() ** 3)
    address = f"person{person}@{DOMAINS[person % len(DOMAINS)]}"
    left = state not in {State.SKIPPED, State.SUPPRESSED}
    email = EmailLog(
        created_at=written,
        run_at=written,
        kind=kind,
        user_label=f"Person {person} (person{person})",
        actor_label="admin" if drawn.random() < 0.6 else "system",
        cause="manage.py demo",
        language="de" if person % 5 == 3 else "en",
        from_email="Backoffice <backoffice@localhost>",
        subject=f"{KINDS[kind].label if kind else 'Invoice'} {name}",
        text="The content of sample messages is not made up.",
        state=state,
        delivery=delivery,
        attempts=int(left),
        provider="console" if left else "",
        message_id=f"<sample-{name}@example.com>" if state == State.SENT else "",
        error=REASONS.get(state, ""),
        sent_at=written + timedelta(seconds=drawn.expovariate(0.5)) if state == State.SENT else None,
    )
    recipient = EmailRecipient(
        email=email,
        field="to",
        formatted=address,
        address=address,
        message_id=email.message_id,
        delivery=delivery,
        delivery_at=written + timedelta(seconds=drawn.expovariate(0.1)) if delivery else None,
    )
    return email, recipient
