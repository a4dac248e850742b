"""Who came in, who did not, and who was locked out: what the person's timeline tells of it."""

import time
from typing import Any

from axes.models import AccessAttempt
from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone

from accounts.factors import DUE, has_factor
from accounts.models import PersonEvent, User
from emails.cause import Cause
from emails.middleware import client_address

Type = PersonEvent.Type
MOST = 20  # Failures of one person in the timeline, within the time that a lock lasts.


def came_in(request: HttpRequest | None, person: Any) -> None:
    """The password was right; whether a second factor is still to come is noted in the session."""
    if request is None:
        return
    request.session["seen"] = int(time.time())
    due = settings.STAFF_2FA != "off" and has_factor(person)
    if due:
        request.session[DUE] = True
    address = client_address(request)
    # The person's own failures from here are forgotten; those at other accounts go on counting.
    AccessAttempt.objects.filter(username=person.get_username(), ip_address=address or None).delete()
    if not due:  # Else accounts/factor_views.py says so once it is proved.
        note(Type.SIGNED_IN, person, request, by=person)


def failed(request: HttpRequest | None, username: str) -> None:
    """Somebody did not get in. Names that nobody has leave nothing here: they may be anything, even a password."""
    person = User.objects.filter(username=username).first() if username else None
    if person is not None and not recent(person, Type.LOCKED) and recent(person, Type.SIGN_IN_FAILED) < MOST:
        note(Type.SIGN_IN_FAILED, person, request)


def proved(request: HttpRequest, person: Any) -> None:
    """The second factor was right as well."""
    note(Type.SIGNED_IN, person, request, by=person)


def not_proved(request: HttpRequest, person: Any) -> None:
    if recent(person, Type.FACTOR_FAILED) < MOST:
        note(Type.FACTOR_FAILED, person, request, by=person)


def went_out(request: HttpRequest | None, person: Any) -> None:
    if person is not None:
        note(Type.SIGNED_OUT, person, request, by=person)


def was_locked(request: HttpRequest | None, username: str) -> None:
    person = User.objects.filter(username=username).first() if username else None
    if person is not None and not recent(person, Type.LOCKED):
        note(Type.LOCKED, person, request)


def recent(person: User, type: str) -> int:
    """How many such entries there are of late: a stranger who goes on and on fills no table."""
    return person.events.filter(type=type, at__gte=timezone.now() - settings.AXES_COOLOFF_TIME).count()


def note(type: str, person: Any, request: HttpRequest | None, by: Any = None) -> None:
    PersonEvent.note(type, person, cause=Cause("sign-in", by), address=client_address(request) if request else "")
