"""One account email, written: to whom, with which facts, in whose words; or the reason why none is sent."""

import logging
import re
from dataclasses import replace
from typing import Any

from django.utils import translation
from django.utils.translation import gettext_noop

from accounts.values import Values, display, label, reachable
from emails.cause import current, suppressed
from emails.facts import Facts
from emails.kinds import EmailKind
from emails.models import EmailLog, State
from emails.recording import record_unsent
from emails.rendering import one_line, render
from emails.wording import frames

logger = logging.getLogger(__name__)

# Stored in English, and translated where staff read them.
SWITCHED_OFF = gettext_noop("This kind of email is switched off.")
NO_ADDRESS = gettext_noop("The person has no email address.")
BAD_ADDRESS = gettext_noop("The person's email address is not a valid one.")


def tell(
    kind: EmailKind,
    values: Values,
    *,
    changes: dict[str, list[Any]] | None = None,
    to: str | None = None,
    enabled: set[str],
    extra: dict[str, Any] | None = None,
    **secret: Any,
) -> EmailLog:
    """Record an email of `kind` about the person with these `values`, or why none is sent. Never raises for its text.

    `changes` is what it tells of. `to` is another address than the person's own, which is told without the values.
    `enabled` are the keys of the kinds that are switched on, `extra` is more for its templates, `secret` more Facts.
    """
    address = (values["email"] if to is None else to or "").strip()
    facts = Facts(
        kind=kind.key,
        user_id=values["pk"],
        user_label=user_label(values),
        changes=changes or {},
        language=values["language"],
        **secret,
    )
    reason = why_not(kind, address, enabled)
    if reason:
        return record_unsent(facts, State.SKIPPED, reason, address)
    try:
        message = render(
            kind,
            to=address,
            name=full_name(values),
            language=values["language"],
            context={**context(values, changes or {}), "to_old_address": to is not None, **(extra or {})},
            facts=facts,
        )
        message.send()
    except Exception as error:
        # A broken template must not stop staff from saving: the failure is recorded where they look for the email.
        logger.error("email.not_rendered kind=%s error=%s", kind.key, frames(error))
        plain = replace(facts, changes={})  # What can't be rendered may not be storable either.
        return record_unsent(plain, State.FAILED, f"Could not be written: {type(error).__name__}", address)
    email: EmailLog = message.email_log  # type: ignore[attr-defined]
    return email


def why_not(kind: EmailKind, address: str, enabled: set[str]) -> str | None:
    """The reason not to send, or None."""
    if not kind.required and (reason := suppressed(kind.key)):
        return reason
    if kind.key not in enabled:
        return SWITCHED_OFF
    if not address:
        return NO_ADDRESS
    return None if reachable(address) else BAD_ADDRESS


def context(values: Values, changes: dict[str, list[Any]]) -> dict[str, Any]:
    """What the templates show: plain texts only, in the person's language."""
    with translation.override(values["language"]):
        return {
            "name": greeting(values),
            "username": one_line(values["username"]),
            "is_staff": values["is_staff"],
            "by": who(values["pk"]),
            "changes": [
                {"label": label(name), "old": one_line(display(name, old)), "new": one_line(display(name, new))}
                for name, (old, new) in changes.items()
                if name not in {"password", "is_active"}  # These two the templates put into words.
            ],
            "password": changes.get("password", ["", ""])[1],
        }


def who(pk: Any) -> str:
    """Whether the person, staff or the system itself made the change; staff are not named to people."""
    actor = current().actor_pk
    if actor is None:
        return "system"
    return "you" if actor == pk else "staff"


def full_name(values: Values) -> str:
    return f"{values['first_name']} {values['last_name']}".strip()


def user_label(values: Values) -> str:
    """How the log names a person that may be gone tomorrow."""
    return f"{full_name(values)} ({values['username']})" if full_name(values) else str(values["username"])


LIKE_A_LINK = re.compile(r"[:/@\\]|www\.|\.\w\w", re.IGNORECASE)


def greeting(values: Values) -> str:
    """The name to greet by: mail programs would turn one like "visit evil.example" into a link, so that one is not."""
    name = one_line(full_name(values))
    return "" if LIKE_A_LINK.search(name) or len(name) > 80 else name
