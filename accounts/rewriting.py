"""An account email of the log, written once more: what it told, in today's templates, to the person as they are now."""

from accounts.values import read
from accounts.writing import tell
from emails.kinds import KINDS
from emails.models import EmailLog


def rewrite(old: EmailLog, to: str) -> EmailLog | None:
    """Record it anew, to `to` or else to the person's own address; None where the person is gone.

    Who made the change stays who it was: to write an email again changes nobody's account.
    """
    values = read("default", old.user_id)
    if values is None:
        return None
    went_to = old.recipients.first()
    own = values["email"].strip().lower()
    told_old = old.kind == "email_changed" and not to and went_to is not None and went_to.address != own
    to = went_to.address if told_old and went_to else to
    extra = {"by": who_did(old), "to_old_address": told_old}
    return tell(KINDS[old.kind], values, changes=old.changes, to=to or None, enabled={old.kind}, extra=extra)


def who_did(old: EmailLog) -> str:
    """As `accounts.writing.who` said it then."""
    if old.actor_label == "system":
        return "system"
    return "you" if old.actor_id is not None and old.actor_id == old.user_id else "staff"
