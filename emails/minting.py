"""Secrets in mail exist only in the outgoing bytes: rows hold a placeholder, filled in when the send begins.

A kind that mails a secret says how it is minted (`EmailKind.mint`): the same at every attempt of a row, so that a retry
has the same bytes. The row keeps a digest; where another secret comes out, what it was for has changed, and the row is
cancelled. Mail of other code brings its secrets ready-made: those are sealed beside the row (emails/sealing.py).
"""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext_noop

from emails import sealing
from emails.kinds import KINDS
from emails.models import EmailEvent, EmailLog, State

logger = logging.getLogger(__name__)

PLACEHOLDER = "⟦secret⟧"
STALE = gettext_noop("Its link would be dead: it was used, has expired, or the account has changed since.")
UNREADABLE = gettext_noop("What was sealed with it can't be opened any more: SECRET_KEY has changed.")


def digest(secret: str) -> str:
    """What a row may keep of a secret of some hundred random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def mint(emails: Sequence[EmailLog], now: datetime) -> list[EmailLog]:
    """Give claimed messages what fills their placeholders; returns those that can be sent, the others are ended.

    To be called in the transaction that fences them.
    """
    secretive = [email for email in emails if is_secretive(email)]
    if not secretive:
        return list(emails)
    stale: dict[int, str] = {}
    by_kind: dict[str, list[EmailLog]] = defaultdict(list)
    fields = ("pk", "kind", "user_id", "created_at", "secret", "sealed")
    for row in EmailLog.objects.filter(pk__in=[email.pk for email in secretive]).only(*fields):
        by_kind[row.kind].append(row)
    found: dict[int, dict[str, str]] = {}
    for key, rows in by_kind.items():
        minting = KINDS[key].mint if key in KINDS else None
        secrets = minting([row for row in rows if row.secret]) if minting else {}
        for row in rows:
            secret = secrets.get(row.pk, "")
            if row.secret and not (secret and constant_time_compare(digest(secret), row.secret)):
                stale[row.pk] = STALE
                continue
            filled = {PLACEHOLDER: secret} if row.secret else {}
            try:
                found[row.pk] = filled | sealing.opened(row.sealed)
            except sealing.CannotOpen:
                stale[row.pk] = UNREADABLE
    for email in secretive:
        email.secrets = found.get(email.pk, {})
        if email.pk in stale:
            end(email, stale[email.pk], now)
    return [email for email in emails if email.pk not in stale]


def is_secretive(email: EmailLog) -> bool:
    kind = KINDS.get(email.kind)
    return email.has_sealed or (kind is not None and kind.mint is not None)


def end(email: EmailLog, reason: str, now: datetime) -> None:
    """Cancel a claimed message; one that may have left already is a doubt."""
    state = State.IN_DOUBT if email.doubtful else State.CANCELLED
    held = EmailLog.objects.held_under(email.attempt_token, State.CLAIMED).filter(pk=email.pk)
    if held.update(state=state, error=reason, lease_until=None, sealed=""):
        EmailEvent.of_attempt(email, state, {"error": reason}, now).save()
        logger.info("email.%s id=%s stale_secret", state, email.pk)


def fill(text: str, secrets: dict[str, str]) -> str:
    """`text` with its placeholders filled in."""
    for placeholder, secret in secrets.items():
        text = text.replace(placeholder, secret)
    return text
