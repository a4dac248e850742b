"""An email of each kind about a person who does not exist: for staff who want to see what they send, and for tests."""

from typing import Any

from django.conf import settings

from accounts.links import terms
from accounts.writing import context
from emails.facts import Facts
from emails.kinds import EmailKind
from emails.models import EmailLog
from emails.rendering import render

PERSON: dict[str, Any] = {
    "pk": 0,
    "username": "mei",
    "first_name": "Mei",
    "last_name": "Tanaka",
    "email": "mei@example.com",
    "is_staff": True,
}
CHANGES: dict[str, list[Any]] = {
    "first_name": ["May", "Mei"],
    "email": ["may@example.com", "mei@example.com"],
    "groups": [[], ["Editors"]],
    "password": ["set", "changed"],
}
EXTRA: dict[str, Any] = {"to_old_address": False, "link": f"{settings.SITE_URL}/accounts/•••/", "what": "added"}
TOLD = {"email_changed": {"email"}, "password_changed": {"password"}, "access_changed": {"groups"}}


def sample(kind: EmailKind, language: str = "en") -> EmailLog:
    """The email, not saved anywhere."""
    values = {**PERSON, "language": language}
    told = TOLD.get(kind.key, {"first_name"})
    changes = {name: change for name, change in CHANGES.items() if name in told}
    message = render(
        kind,
        to=values["email"],
        name="Mei Tanaka",
        language=language,
        context={**context(values, changes), **EXTRA, **terms(kind.key)},
        facts=Facts(),
    )
    return EmailLog(
        kind=kind.key, subject=str(message.subject), text=str(message.body), html=str(message.alternatives[0][0])
    )
