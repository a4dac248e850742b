"""The kinds of email: what each is for, and the one list that the log's filter, the switches and the tests read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext


@dataclass(frozen=True)
class EmailKind:
    """One kind of email. `key` names its templates, its switch in the admin and its rows in the log."""

    key: str
    label: str
    when: str  # Tells staff, in the admin, what makes this email go out.
    on: bool = True  # Sent unless staff switch it off (or, where False, only once they switch it on).
    required: bool = False  # Can't be switched off.
    # What becomes of one that may or may not have left: "hold" shows it to staff, "resend" risks a second copy, which
    # suits a code that is useless when late.
    on_doubt: str = "hold"
    # A server's error (500, 502, 504) usually means that nothing was sent, and it is tried again; not so with these.
    never_twice: bool = False
    security: bool = False  # Guards the account: goes also to who has reported our mail as spam.
    # For what mails a link that only the person may have: {primary key: secret} for rows about to be sent, the same one
    # at every attempt, or none where it would be dead (emails/minting.py). `renew` writes such an email anew for who
    # asks for it; raises PermissionError, with words for them, where they may not have it sent.
    mint: Callable[[Any], dict[int, str]] | None = None
    renew: Callable[[Any, Any], Any] | None = None
    # Writes the email of a row once more, with the templates and the person as they are now, to an address or, where
    # that is "", to the person's own, for who asks for it. None where the person is gone or what it tells is no longer
    # so; raises PermissionError as `renew` does.
    rewrite: Callable[[Any, str, Any], Any] | None = None
    # For how many days its content, and the row itself, are kept, where not for as long as the settings say.
    keep_body_days: int | None = None
    keep_days: int | None = None
    templates: str = ""  # The folder of <key>.txt and <key>.html.


KINDS: dict[str, EmailKind] = {}


def register(*kinds: EmailKind) -> None:
    """Add kinds to the list. Raises ValueError for a key that is taken by another kind."""
    for kind in kinds:
        if KINDS.setdefault(kind.key, kind) != kind:
            raise ValueError(f"Two kinds of email have the key {kind.key!r}: rename one.")


def label(key: str) -> str:
    """How staff read a row's kind, also where it is none or one of an older version."""
    return str(KINDS[key].label) if key in KINDS else key or gettext("Other mail")
