"""Everything staff can do to people besides editing: the one list behind buttons, bulk actions and batches."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts import lifecycle, policy, throttling
from accounts.models import NO_PASSWORD, Batch, User

GONE = gettext_noop("The person is gone.")
UNFIT = gettext_noop("They are not in a state for it.")


@dataclass(frozen=True)
class Action:
    """`verb` is the policy's word for it. `fits` are those to whom it can be done, as a query's condition."""

    verb: str
    label: Any
    many: Any  # The label in the list of bulk actions.
    meaning: Any  # What staff read before they confirm.
    run: Callable[[User, str], Any]
    fits: Callable[[], Q]
    kinds: tuple[str, ...] = ()  # The emails that it leads to.
    needs_reason: bool = True
    ends: bool = False  # It can't be undone: the button is red.


def carry_out(action: "Action", actor: Any, person: User, reason: str) -> str:
    """Do it with the person's row held, by the policy as it stands then; returns why not, in English, or "".

    Whoever was chosen may have become a superuser since, or be disabled already. Raises LastSuperuser.
    """
    with transaction.atomic():
        if action.verb == "anonymise":
            Batch.hold_imports()  # Before the person: a worker holds its batch, and then people.
        held = User.objects.select_for_update(no_key=True).filter(pk=person.pk).first()
        if held is None:
            return GONE
        why = policy.refusal(actor, action.verb, held)
        if not why and User.objects.filter(action.fits(), pk=held.pk).exists():
            action.run(held, reason)
        elif not why:
            return UNFIT
    return why


def anybody() -> Q:
    return Q(anonymised_at=None)


ACTIONS = {
    action.verb: action
    for action in (
        Action(
            "invite",
            _("Send invitation"),
            _("Send invitation to selected people"),
            _("Mails a link with which the person sets a password. An earlier invitation's link is dead from then on."),
            lifecycle.invite,
            lambda: NO_PASSWORD & Q(is_active=True, anonymised_at=None),
            ("invitation",),
            needs_reason=False,
        ),
        Action(
            "withdraw",
            _("Withdraw invitation"),
            _("Withdraw the invitation of selected people"),
            _("The link in the invitation is dead from then on. No email tells of it."),
            lifecycle.withdraw,
            lambda: NO_PASSWORD & Q(invited_at__isnull=False),
        ),
        Action(
            "reset_password",
            _("Send password reset"),
            _("Send password reset to selected people"),
            _("Mails a link with which the person sets a new password. The present one works until then."),
            lifecycle.reset_password,
            lambda: Q(is_active=True, anonymised_at=None),
            ("password_reset",),
            needs_reason=False,
        ),
        Action(
            "disable",
            _("Disable"),
            _("Disable selected people"),
            _("The person can't sign in any more, and every session ends at once. Nothing is deleted."),
            lifecycle.disable,
            lambda: Q(is_active=True),
            ("deactivated",),
        ),
        Action(
            "enable",
            _("Enable"),
            _("Enable selected people"),
            _("The person can sign in again."),
            lifecycle.enable,
            lambda: Q(is_active=False, anonymised_at=None),
            ("reactivated",),
        ),
        Action(
            "sign_out",
            _("Sign out everywhere"),
            _("Sign selected people out everywhere"),
            _("All sessions of the person end at once, and links that were mailed are dead. No email tells of it."),
            lifecycle.sign_out,
            anybody,
        ),
        Action(
            "unlock",
            _("Unlock"),
            _("Unlock selected people"),
            _("The person may try to sign in again at once. No email tells of it."),
            lifecycle.unlock,
            throttling.locked,
            needs_reason=False,
        ),
        Action(
            "reset_factor",
            _("Remove second factor"),
            _("Remove the second factor of selected people"),
            _("Authenticator and recovery codes are forgotten, and sessions end. Be sure whom you are talking to."),
            lifecycle.reset_factor,
            lambda: Q(Exists(TOTPDevice.objects.filter(user=OuterRef("pk"), confirmed=True))),
            ("second_factor_changed",),
        ),
        Action(
            "anonymise",
            _("Anonymise"),
            _("Anonymise selected people"),
            _("Name, address and username are replaced for good, in the log of emails too. No email tells of it."),
            lifecycle.anonymise,
            anybody,
            ends=True,
        ),
        Action(
            "delete",
            _("Delete"),
            _("Delete selected people"),
            _("The person is deleted; the log keeps what was sent. To keep nothing personal, anonymise instead."),
            lifecycle.delete,
            lambda: Q(),
            ("deletion_notice", "account_deleted"),
            ends=True,
        ),
    )
}
