"""An account email of the log, written once more: what it told, in today's templates, to the person as they are now."""

from typing import Any

from django.utils.translation import gettext

from accounts import policy
from accounts.models import User
from accounts.values import read
from accounts.writing import tell
from emails.kinds import KINDS
from emails.models import EmailKindSwitch, EmailLog

# What must still be so for the news to be true.
STILL = {"deactivated": ("is_active", False), "reactivated": ("is_active", True)}
ORIGINS = 50  # Messages of a chain that are followed back, at most.


def rewrite(old: EmailLog, to: str, actor: Any) -> EmailLog | None:
    """Record it anew, to `to` or else to the person's own address; None where the person is gone, or the news untrue.

    Who made the change stays who it was: to write an email again changes nobody's account. Raises PermissionError where
    the policy forbids it: the log is no way around it.
    """
    person, values = User.objects.filter(pk=old.user_id or 0).first(), read("default", old.user_id or 0)
    if person is None or values is None:
        return None
    why = policy.refusal(actor, "write_again", person)
    if why:
        policy.deny(actor, "write_again", person, why)
        raise PermissionError(gettext(why))
    name, value = STILL.get(old.kind, ("", None))
    if name and values[name] is not value:
        return None
    told_old = went_to_old(old)
    to = old.recipients.all()[0].address if told_old else to
    extra = {"by": who_did(old), "to_old_address": told_old}
    enabled = EmailKindSwitch.enabled_keys()
    return tell(KINDS[old.kind], values, changes=old.changes, to=to or None, enabled=enabled, extra=extra)


def went_to_old(old: EmailLog) -> bool:
    """Whether it was the one to the address that had just been replaced, which is told no new one."""
    before = str(old.changes.get("email", [""])[0]).strip().lower()
    reached = [recipient.address for recipient in old.recipients.all()]
    return old.kind == "email_changed" and bool(before) and reached == [before]


def who_did(old: EmailLog) -> str:
    """As `accounts.writing.who` said it when it was written first."""
    first = old
    for _ in range(ORIGINS):
        if first.resend_of is None:
            break
        first = first.resend_of
    if first.actor_id is None and first.actor_label == "system":
        return "system"
    return "you" if first.actor_id is not None and first.actor_id == first.user_id else "staff"
