"""Every account email: what it is called and when it goes out."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from accounts.links import renew
from accounts.rewriting import rewrite
from accounts.tokens import mint
from emails import kinds
from emails.kinds import EmailKind


def account_email(key: str, name: Any, when: Any, **options: Any) -> EmailKind:
    return EmailKind(key, name, when, templates="accounts/emails", **{"rewrite": rewrite, **options})


WELCOME = account_email("welcome", _("Welcome"), _("A person is created, or gets the first address. Sent once."))
UPDATE_NOTICE = account_email(
    "update_notice", _("Update notice"), _("Name, username or language are about to change; lists what.")
)
ACCOUNT_UPDATED = account_email(
    "account_updated",
    _("Account updated"),
    _("Name, username or language have changed; instead of, or beside, the update notice."),
    on=False,
)
EMAIL_CHANGED = account_email(
    "email_changed",
    _("Address changed"),
    _("The address changes: to the old one and to the new one."),
    required=True,
    security=True,
)
PASSWORD_CHANGED = account_email(
    "password_changed", _("Password changed"), _("A password is set, changed or removed."), security=True
)
DEACTIVATED = account_email("deactivated", _("Deactivated"), _("An account is deactivated."))
REACTIVATED = account_email("reactivated", _("Reactivated"), _("An account is active again."))
ACCESS_CHANGED = account_email(
    "access_changed", _("Access changed"), _("Staff or superuser status, groups or permissions change."), security=True
)
DELETION_NOTICE = account_email(
    "deletion_notice",
    _("Deletion notice"),
    _("An account is about to be deleted."),
    rewrite=None,  # Who is still there is not about to be deleted.
)
ACCOUNT_DELETED = account_email(
    "account_deleted", _("Account deleted"), _("An account has been deleted."), rewrite=None
)

INVITATION = account_email(
    "invitation",
    _("Invitation"),
    _("Staff invite a person: with a link to set a password. In place of the welcome."),
    mint=mint,
    renew=renew,
    rewrite=None,
)
PASSWORD_RESET = account_email(
    "password_reset",
    _("Password reset"),
    _("Staff, or the person, ask for it: with a link to set a new password."),
    security=True,
    mint=mint,
    renew=renew,
    rewrite=None,
)
SECOND_FACTOR_CHANGED = account_email(
    "second_factor_changed",
    _("Second factor changed"),
    _("A second factor of the sign-in is set up or removed."),
    security=True,
    rewrite=None,  # Which of the two it was is not kept.
)

ACCOUNT_EMAILS = (
    INVITATION,
    WELCOME,
    UPDATE_NOTICE,
    ACCOUNT_UPDATED,
    EMAIL_CHANGED,
    PASSWORD_RESET,
    PASSWORD_CHANGED,
    SECOND_FACTOR_CHANGED,
    DEACTIVATED,
    REACTIVATED,
    ACCESS_CHANGED,
    DELETION_NOTICE,
    ACCOUNT_DELETED,
)


def register_kinds() -> None:
    kinds.register(*ACCOUNT_EMAILS)
