"""A message is sent once more, as a new row that refers to the old one: its bytes, or written anew; never twice."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from emails.addresses import bare
from emails.kinds import KINDS, EmailKind
from emails.models import EmailEvent, EmailLog, State, Suppression
from emails.payload import UnstorableMessage, addresses
from emails.recording import record_again
from emails.suppression import bars

AGAIN = (State.FAILED, State.SUPPRESSED, State.CANCELLED, State.EXPIRED)  # Ended without having left.
ENDED = (*AGAIN, State.SKIPPED, State.SENT)
SAME, ANEW = "same", "anew"


class NotNow(Exception):
    """The message is not in a state in which this can be done; the text says so to staff."""


def ways(email: EmailLog) -> list[str]:
    """How it can be sent once more; none where it is on its way, or has been sent again already."""
    if email.state not in {*ENDED, State.IN_DOUBT} or email.resends.exists():
        return []
    kind = KINDS.get(email.kind)
    if kind is not None and kind.renew is not None:
        return [ANEW]
    found = [SAME] if email.payload and not (email.has_sealed or email.secret) else []
    return [*found, ANEW] if kind is not None and kind.rewrite is not None and email.user_id else found


def may_go_elsewhere(email: EmailLog) -> bool:
    """Whether it may be sent to a corrected address: what holds a link or guards an account is for the person alone."""
    kind = KINDS.get(email.kind)
    secretive = email.has_sealed or bool(email.secret) or (kind is not None and (kind.security or bool(kind.renew)))
    return not secretive and '"merge_' not in email.payload


def send_again(email: EmailLog, actor: Any, reason: str, *, way: str = "", to: str = "", seen: str = "") -> EmailLog:
    """Send the message once more, as a new row that refers to this one; it settles a doubt about this one.

    `way` is SAME or ANEW, or "" for the one that fits. `to` is a corrected address in place of those it went to. `seen`
    is the status that whoever asks has seen: without it, what has left or was left out is left alone, and where it is
    another one by now, nothing is done. Raises NotNow, with words for staff, and does nothing then.
    """
    to = corrected(email, way, to)
    refused = ""
    with transaction.atomic():
        old = EmailLog.objects.select_for_update().get(pk=email.pk)
        if old.resends.exists() or old.state not in (*(ENDED if seen else AGAIN), State.IN_DOUBT):
            raise NotNow(_("It has been sent again already, or is on its way."))
        if seen and old.status != seen:
            raise NotNow(_("Its status has changed in the meantime: look at it once more before you send it again."))
        kind = KINDS.get(old.kind)
        try:
            new = again(old, kind, actor, way, to)
        except PermissionError as error:
            refused = str(error)  # Raised once the trace of it, which `renew` leaves, is committed.
        else:
            EmailLog.objects.filter(pk=new.pk).update(resend_of=old)
            if old.state == State.IN_DOUBT:
                settle_doubt(old, State.FAILED, f"Sent again as #{new.pk}.")
            detail = {"to": to} if to else {}
            EmailEvent.of_staff(old, "sent_again", actor, error=reason, resend=str(new.pk), **detail).save()
            EmailEvent.of_staff(new, "in_place", actor, error=reason, of=str(old.pk)).save()
    if refused:
        raise NotNow(refused)
    return new


def corrected(email: EmailLog, way: str, to: str) -> str:
    """The address in a form that can be sent to; "" where it is the one that the same content goes to anyway."""
    to = to.strip()
    if not to or (way == SAME and [bare(to)] == [one.address for one in email.recipients.all()]):
        return ""
    try:
        validate_email(to)
        addresses("to", [to])
    except (ValidationError, UnstorableMessage):
        raise NotNow(_("That is not an email address like ada@example.com.")) from None
    if '"' in to or to.endswith("]"):
        raise NotNow(_("That is not an email address like ada@example.com."))
    if not may_go_elsewhere(email):
        raise NotNow(_("It holds a link for the person alone: it goes to no other address than theirs."))
    return to


def again(old: EmailLog, kind: EmailKind | None, actor: Any, way: str, to: str) -> EmailLog:
    if kind is not None and kind.renew is not None:
        return written(kind.renew(old, actor))
    if way == ANEW:
        if kind is None or kind.rewrite is None:
            raise NotNow(_("It can't be written anew: no kind of email of ours made it."))
        return written(kind.rewrite(old, to, actor))
    return repeated(old, to)


def written(new: EmailLog | None) -> EmailLog:
    """What held a secret is written with another one, to the address that the person has now; so is what is anew."""
    if new is None:
        raise NotNow(_("The person is gone or disabled, or needs it no more."))
    if new.state != State.QUEUED:  # Recorded as not sent; the transaction is taken back.
        raise NotNow(
            _("It would not be sent: %(reason)s") % {"reason": _(new.error) if new.error else new.status_label}
        )
    return new


def repeated(old: EmailLog, to: str) -> EmailLog:
    """The same bytes as a new row."""
    if old.has_sealed or old.secret:
        raise NotNow(_("It held a link that is kept nowhere: have a new one asked for."))
    if not old.payload:
        raise NotNow(_("It has no content any more."))
    addressed = [bare(to)] if to else list(old.recipients.filter(field="to").values_list("address", flat=True))
    barred = Suppression.among(addressed)
    if addressed and all(bars(barred.get(address), old.kind) for address in addressed):
        raise NotNow(_("The address is still suppressed: lift that first."))
    return record_again(old, to)


def settle_doubt(email: EmailLog, state: State, reason: str) -> None:
    columns = {"sent_at": Now()} if state == State.SENT else {}
    if not EmailLog.objects.filter(pk=email.pk, state=State.IN_DOUBT).update(state=state, error=reason, **columns):
        raise NotNow(_("There is no doubt about it any more."))
