"""What staff do with a message: stop it, hurry it, settle a doubt. Each is one transaction with a trace.

Every verb holds to the state it was meant for: a second click, or a worker that was quicker, gets NotNow and no effect.
"""

from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from emails.models import EmailEvent, EmailLog, State
from emails.resending import AGAIN, NotNow, send_again, settle_doubt, ways

__all__ = ["NotNow", "believe", "cancel", "hurry", "resend", "send_again", "verbs"]

OPEN = (State.QUEUED, State.RETRYING, State.IN_DOUBT)  # Where something can be done with the message itself.


def cancel(email: EmailLog, actor: Any, reason: str) -> None:
    """Stop a message that has not left."""
    with transaction.atomic():
        waiting = EmailLog.objects.filter(pk=email.pk, state__in=[State.QUEUED, State.RETRYING], doubtful=False)
        if not waiting.update(state=State.CANCELLED, error=reason):
            raise NotNow(_("It is already leaving, or has ended: it can't be cancelled any more."))
        EmailEvent.of_staff(email, State.CANCELLED, actor, error=reason).save()


def hurry(email: EmailLog, actor: Any) -> None:
    """Have the next attempt made now."""
    with transaction.atomic():
        if not EmailLog.objects.filter(pk=email.pk, state=State.RETRYING).update(run_at=Now()):
            raise NotNow(_("It is not waiting for another attempt."))
        EmailEvent.of_staff(email, "hurried", actor).save()


def believe(email: EmailLog, actor: Any, reason: str) -> None:
    """Settle a doubt: staff have seen that it arrived."""
    with transaction.atomic():
        settle_doubt(email, State.SENT, reason)
        EmailEvent.of_staff(email, State.SENT, actor, error=reason).save()


def resend(email: EmailLog, actor: Any, reason: str) -> EmailLog:
    """Send once more what has been sent, or was left out on purpose, as it was seen."""
    return send_again(email, actor, reason, seen=email.status)


def verbs(email: EmailLog) -> list[str]:
    """What can be done with the message as it is."""
    if email.state in OPEN:
        stop = [] if email.doubtful else ["cancel"]
        hurry = ["hurry"] if email.state == State.RETRYING else []
        return ["believe", "send_again"] if email.state == State.IN_DOUBT else [*hurry, *stop]
    return (["send_again"] if email.state in AGAIN else ["resend"]) if ways(email) else []
