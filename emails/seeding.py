"""A log as years of use would have filled it: for trying the admin, and for measuring it. Never in production."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any
from uuid import uuid4

from django.db import router, transaction
from django.utils import timezone

from emails.kinds import KINDS
from emails.models import DayCount, EmailLog, EmailRecipient, State
from emails.rows import inserting

BATCH = 5_000
DAYS = 365
PEOPLE = 100_000  # Addresses, some of which get far more mail than others.
# Out of a thousand: what became of a message, and what the provider reported.
FATES = (
    *((930, State.SENT, "delivered"), (22, State.SENT, ""), (18, State.SENT, "bounced"), (2, State.SENT, "complained")),
    *((3, State.SENT, "deferred"), (10, State.FAILED, ""), (5, State.SUPPRESSED, ""), (7, State.SKIPPED, "")),
    *((1, State.IN_DOUBT, ""), (1, State.CANCELLED, ""), (1, State.EXPIRED, "")),
)
WEIGHTS = list(accumulate(weight for weight, *_ in FATES))
DOMAINS = ("example.com", "mail.example.org", "example.net", "post.example.de", "example.co.uk")
REASONS = {State.FAILED: "550 5.1.1 mailbox does not exist", State.SKIPPED: "This kind of email is switched off."}


def seed(count: int, progress: Callable[[int], None] = lambda done: None, chance: int = 1) -> int:
    """Add `count` finished messages of the past year, oldest first; returns how many. `progress` hears of batches."""
    using = router.db_for_write(EmailLog)
    emails, recipients = inserting(EmailLog, using), inserting(EmailRecipient, using)
    blank, nobody = EmailLog(), EmailRecipient()
    # Rows of values: to make a model of each would take twice the time.
    email_row = {name: getattr(blank, name) for name in emails.names}
    recipient_row = {name: getattr(nobody, name) for name in recipients.names}
    drawn = random.Random(chance)  # noqa: S311 - nothing is kept secret by it.
    titles = [*((kind.key, str(kind.label)) for kind in KINDS.values()), ("", "Invoice")]
    now, done = timezone.now(), 0
    while done < count:
        size = min(BATCH, count - done)
        made = []
        for number in range(done, done + size):
            written = now - timedelta(days=DAYS) * (1 - (number + 1) / (count + 1))
            made.append(message(drawn, f"{chance}-{number}", written, titles))
        with transaction.atomic(using=using):
            keys = emails.values([list((email_row | email).values()) for email, _ in made])
            rows = zip(keys, made, strict=True)
            recipients.values([list((recipient_row | to | {"email_id": key}).values()) for key, (_, to) in rows])
        done += size
        progress(done)
    DayCount.objects.all().delete()  # The days it has filled are counted anew.
    return done


def message(
    drawn: random.Random, name: str, written: datetime, titles: list[tuple[str, str]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The columns of one message and of its recipient that are not as usual; `name` makes its message id."""
    ((_weight, state, delivery),) = drawn.choices(FATES, cum_weights=WEIGHTS)
    kind, title = titles[min(int(drawn.expovariate(0.35)), len(titles) - 1)]
    person = int(PEOPLE * drawn.random() ** 1.5)
    address = f"person{person}@{DOMAINS[person % len(DOMAINS)]}"
    left = state not in {State.SKIPPED, State.SUPPRESSED}
    sent_at = written + timedelta(seconds=drawn.expovariate(0.5)) if state == State.SENT else None
    message_id = f"<sample-{name}@example.com>" if sent_at else ""
    email = {
        "ref": uuid4(),
        "created_at": written,
        "run_at": written,
        "kind": kind,
        "user_label": f"Person {person} (person{person})",
        "actor_label": "admin" if drawn.random() < 0.6 else "system",
        "cause": "manage.py demo",
        "language": "de" if person % 5 == 3 else "en",
        "from_email": "Backoffice <backoffice@localhost>",
        "subject": f"{title} {name}",
        "text": "The content of sample messages is not made up.",
        "state": state,
        "delivery": delivery,
        "attempts": int(left),
        "provider": "console" if left else "",
        "message_id": message_id,
        "error": REASONS.get(state, ""),
        "sent_at": sent_at,
    }
    delivery_at = sent_at + timedelta(seconds=drawn.lognormvariate(1.5, 1.2)) if sent_at and delivery else None
    recipient = {"field": "to", "formatted": address, "address": address, "message_id": message_id}
    return email, {**recipient, "delivery": delivery, "delivery_at": delivery_at}
