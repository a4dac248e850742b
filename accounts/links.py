"""Emails that carry a link which only their reader may have: a placeholder here, minted when it is sent."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.translation import gettext

from accounts import policy
from accounts.models import PersonEvent, User
from accounts.tokens import TOKENS
from accounts.values import read
from accounts.writing import tell
from emails.kinds import KINDS
from emails.minting import PLACEHOLDER, digest
from emails.models import EmailKindSwitch, EmailLog

VIEWS = {"password_reset": "password_reset_confirm", "invitation": "invitation"}
VERBS = {"password_reset": "reset_password", "invitation": "invite"}  # The policy's words for them.
TRACES = {"password_reset": PersonEvent.Type.RESET_SENT, "invitation": PersonEvent.Type.INVITED}


def send(kind: str, person: User, reason: str = "") -> EmailLog:
    """Record an email with a new link to the person's address as it is now, and leave a trace. In one transaction."""
    with transaction.atomic():
        person = User.objects.select_for_update(no_key=True).get(pk=person.pk)
        if kind == "invitation":  # The one before it is dead from now on.
            person.invited_at = timezone.now()
            User._base_manager.filter(pk=person.pk).update(invited_at=person.invited_at)
        PersonEvent.note(TRACES[kind], person, reason=reason)
        return write(kind, person)


def write(kind: str, person: User) -> EmailLog:
    token, written_at = TOKENS[kind], timezone.now()
    uid = urlsafe_base64_encode(force_bytes(person.pk))
    path = reverse(VIEWS[kind], args=[uid, "0-0"]).replace("/0-0/", f"/{PLACEHOLDER}/")
    return tell(
        KINDS[kind],
        read("default", person.pk) or {},
        enabled=EmailKindSwitch.enabled_keys(),
        extra={"link": f"{settings.SITE_URL}{path}", **terms(kind)},
        secret_digest=digest(token.made_at(person, written_at)[0]),
        written_at=written_at,
    )


def terms(kind: str) -> dict[str, int]:
    """For how long such a link is good, as its email says it; nothing for an email without one."""
    seconds = getattr(settings, TOKENS[kind].timeout) if kind in TOKENS else 0
    return {"hours": seconds // 3600, "days": seconds // 86400}


def renew(old: EmailLog, actor: Any) -> EmailLog | None:
    """The same email anew, where the person still needs it: never the old link, never to an old address.

    Raises PermissionError where the policy forbids it: the log is no way around it.
    """
    person = User.objects.filter(pk=old.user_id or 0, is_active=True).first()
    if person is None or (old.kind == "invitation" and (person.invited_at is None or person.has_usable_password())):
        return None
    why = policy.refusal(actor, VERBS[old.kind], person)
    if why:
        policy.deny(actor, VERBS[old.kind], person, why)
        raise PermissionError(gettext(why))
    return send(old.kind, person)


def expires_at(person: User) -> datetime | None:
    """When the person's invitation ends, or None where there is none."""
    if person.invited_at is None:
        return None
    return person.invited_at + timedelta(seconds=settings.INVITATION_TIMEOUT)


def is_open(person: Any) -> bool:
    """Whether the person's invitation can still be accepted."""
    ends = expires_at(person)
    return bool(person.is_active and ends and ends > timezone.now() and not person.has_usable_password())
