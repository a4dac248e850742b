"""What other code may listen to. Receivers run after the commit, in the worker or the webhook's request: be short.

| signal | sent when | arguments |
|---|---|---|
| `email_sent` | the provider has accepted a message | `email` |
| `email_failed` | a message is given up: failed or suppressed | `email` |
| `email_status_changed` | a provider's report changes what staff read | `email`, `old`, `new`: `EmailLog.status` |

`email` is an EmailLog, read anew, its bodies deferred; `sender` is EmailLog. An error of a receiver is logged, and has
no effect on the message.
"""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from django.db import transaction
from django.dispatch import Signal

from emails.models import EmailLog
from emails.wording import frames

logger = logging.getLogger(__name__)

email_sent = Signal()
email_failed = Signal()
email_status_changed = Signal()
swept = Signal()  # Every few seconds, with the sweeper's turn, for chores of other code; without arguments.


def announce(signal: Signal, emails: Mapping[int, dict[str, Any]], using: str) -> None:
    """Send `signal` for each of `emails` (by primary key, with further arguments) once the transaction is committed."""
    if emails and signal.receivers:
        transaction.on_commit(partial(tell, signal, emails, using), using=using, robust=True)


def tell(signal: Signal, emails: Mapping[int, dict[str, Any]], using: str) -> None:
    for pk, email in EmailLog.objects.using(using).without_bodies().in_bulk(list(emails)).items():
        for _, answer in signal.send_robust(EmailLog, email=email, **emails[pk]):
            if isinstance(answer, Exception):
                logger.error("email.receiver_failed id=%s error=%s", pk, frames(answer))
