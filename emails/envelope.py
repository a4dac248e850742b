"""Whom a message really goes to: not to addresses that are suppressed, and in staging to one address alone."""

import json
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from anymail.utils import UNSET
from django.conf import settings
from django.core.mail import EmailMessage

from emails.addresses import bare
from emails.marks import given
from emails.models import EmailLog
from emails.outcomes import Outcome

ORIGINAL = "X-Original-Recipients"
BY_RECIPIENT = ("merge_data", "merge_metadata", "merge_headers")  # Anymail's, by address.


def address(message: EmailMessage, suppressed: Collection[str]) -> None:
    """Leave out who is suppressed; then, with EMAIL_REDIRECT_TO, send what is left to that address instead."""
    if suppressed:
        for field in ("to", "cc", "bcc"):
            setattr(message, field, [value for value in getattr(message, field) if bare(value) not in suppressed])
    redirect = settings.EMAILS["REDIRECT_TO"]
    if redirect:
        send_elsewhere(message, redirect)


def send_elsewhere(message: EmailMessage, redirect: str) -> None:
    originals = [bare(value) for value in message.recipients()]
    message.extra_headers[ORIGINAL] = ", ".join(originals)
    for name in BY_RECIPIENT:
        values = given(message, name, None)
        if values is not None:
            first = [value for key, value in values.items() if bare(key) in originals[:1]]
            setattr(message, name, dict(zip([redirect], first, strict=False)))
    message.to, message.cc, message.bcc = [redirect], [], []
    # What goes to the provider's API as it is could name anybody.
    message.esp_extra = UNSET  # type: ignore[attr-defined]
    for name in list(message.extra_headers):
        if names_recipients(name):
            del message.extra_headers[name]


# Some providers take commands as headers: SendGrid's X-SMTPAPI, Mandrill's X-MC-…, Mailgun's X-Mailgun-….
COMMANDS = ("resent-", "x-smtpapi", "x-mc-", "x-mailgun-")


def names_recipients(header: str) -> bool:
    """Whether a header may say who else gets the message."""
    return header.lower() in {"to", "cc", "bcc"} or header.lower().startswith(COMMANDS)


def as_addressed(outcome: Outcome, email: EmailLog) -> Outcome:
    """What was told of the address that everything went to, told of those that were meant."""
    redirect = bare(settings.EMAILS["REDIRECT_TO"])
    told: Any = outcome.recipients.get(redirect)
    if not redirect or told is None:
        return outcome
    return replace(outcome, recipients=dict.fromkeys(email.addresses, told))


def readdressed(data: str, to: str) -> str:
    """A stored payload to one other address alone; what else in it could name a recipient is left out."""
    kept = json.loads(data)
    kept |= {"to": [to], "cc": [], "bcc": []}
    kept["headers"] = [[name, value] for name, value in kept["headers"] if not names_recipients(name)]
    kept["anymail"].pop("esp_extra", None)
    return json.dumps(kept, allow_nan=False)
