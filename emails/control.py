"""What staff do with a message: stop it, hurry it, settle a doubt. Each is one transaction with a trace.

Every verb holds to the state it was meant for: a second click, or a worker that was quicker, gets NotNow and no effect.
"""

from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from emails.models import EmailEvent, EmailLog, State
from emails.models.state import DUE
from emails.resending import AGAIN, NotNow, send_again, settle_doubt, ways

__all__ = ["NotNow", "believe", "cancel", "hurry", "obstacle", "resend", "send_again", "verbs"]

OPEN = (State.QUEUED, State.RETRYING, State.IN_DOUBT)  # Where something can be done with the message itself.
STATES: dict[str, tuple[State, ...]] = {  # In which a verb may be of use.
    "send_again": (*AGAIN, State.IN_DOUBT),
    "resend": (State.SKIPPED, State.SENT),
    "hurry": (State.RETRYING,),
    "cancel": DUE,
    "believe": (State.IN_DOUBT,),
}


def cancel(email: EmailLog, actor: Any, reason: str) -> None:
    """Stop a message that has not left."""
    with transaction.atomic():
        waiting = EmailLog.objects.filter(pk=email.pk, state__in=DUE, doubtful=False)
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
    again = (["resend"] if email.state in STATES["resend"] else ["send_again"]) if ways(email) else []
    if email.state == State.IN_DOUBT:
        return ["believe", *again]
    if email.state in OPEN:
        return [*(["hurry"] if email.state == State.RETRYING else []), *([] if email.doubtful else ["cancel"])]
    return again


def obstacle(email: EmailLog, verb: str) -> str:
    """Why a verb can't be done to the message as it is, in words for staff; "" where it can."""
    if verb in verbs(email):
        return ""
    if email.state not in STATES[verb]:
        return _("Its status is “%s”.") % email.status_label
    if verb == "cancel":
        return _("An earlier attempt may have left: it can't be cancelled any more.")
    if email.resends.exists():
        return _("It has been sent again already, or is on its way.")
    return _("Its content is not kept, and it can't be written anew.")
