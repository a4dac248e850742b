"""What staff do with a message: stop it, hurry it, settle a doubt, send it again. Each is one transaction with a trace.

Every verb holds to the state it was meant for: a second click, or a worker that was quicker, gets NotNow and no effect.
"""

from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from emails.kinds import KINDS, EmailKind
from emails.models import EmailEvent, EmailLog, State, Suppression
from emails.recording import record_again

AGAIN = (State.FAILED, State.SUPPRESSED, State.CANCELLED, State.EXPIRED)  # Ended without having left.


class NotNow(Exception):
    """The message is not in a state in which this can be done; the text says so to staff."""


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


def send_again(email: EmailLog, actor: Any, reason: str) -> EmailLog:
    """Send the same message once more, as a new row that refers to this one; it settles a doubt about this one."""
    refused = ""
    with transaction.atomic():
        old = EmailLog.objects.select_for_update().get(pk=email.pk)
        if old.resends.exists() or old.state not in {*AGAIN, State.IN_DOUBT}:
            raise NotNow(_("It has been sent again already, or is on its way."))
        kind = KINDS.get(old.kind)
        try:
            new = renewed(old, kind, actor) if kind is not None and kind.renew is not None else repeated(old)
        except PermissionError as error:
            refused = str(error)  # Raised once the trace of it, which `renew` leaves, is committed.
        else:
            if old.state == State.IN_DOUBT:
                settle_doubt(old, State.FAILED, f"Sent again as #{new.pk}.")
            EmailEvent.of_staff(old, "sent_again", actor, error=reason, resend=str(new.pk)).save()
    if refused:
        raise NotNow(refused)
    return new


def repeated(old: EmailLog) -> EmailLog:
    """The same bytes as a new row."""
    if old.has_sealed:
        raise NotNow(_("It held a link that is kept nowhere: have a new one asked for."))
    if not old.payload:
        raise NotNow(_("It has no content any more."))
    addressed = old.recipients.filter(field="to").values_list("address", flat=True)
    if old.state == State.SUPPRESSED and Suppression.among(list(addressed)):
        raise NotNow(_("The address is still suppressed: lift that first."))
    return record_again(old)


def renewed(old: EmailLog, kind: EmailKind, actor: Any) -> EmailLog:
    """What held a secret is written anew, with another secret, to the address that the person has now."""
    new: EmailLog | None = kind.renew(old, actor) if kind.renew else None
    if new is None:
        raise NotNow(_("The person is gone or disabled, or needs it no more."))
    EmailLog.objects.filter(pk=new.pk).update(resend_of=old)
    return new


def settle_doubt(email: EmailLog, state: State, reason: str) -> None:
    columns = {"sent_at": Now()} if state == State.SENT else {}
    if not EmailLog.objects.filter(pk=email.pk, state=State.IN_DOUBT).update(state=state, error=reason, **columns):
        raise NotNow(_("There is no doubt about it any more."))


def verbs(email: EmailLog) -> list[str]:
    """What can be done with the message as it is."""
    if email.state in {State.QUEUED, State.RETRYING}:
        stop = [] if email.doubtful else ["cancel"]
        return [*(["hurry"] if email.state == State.RETRYING else []), *stop]
    if email.state == State.IN_DOUBT:
        return ["believe", "send_again"]
    return ["send_again"] if email.state in AGAIN and email.payload and not email.resends.exists() else []
