"""By what failed sign-ins are counted (django-axes), who is locked out now, and how a lock is lifted."""

from collections.abc import Sequence
from typing import Any

from axes.models import AccessAttempt
from axes.utils import reset
from django.conf import settings
from django.db.models import Q, Sum
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.models import PersonEvent, User
from emails.payload import storable

ONE_ACCOUNT, ONE_ADDRESS, BOTH = "username", "ip_address", ["username", "ip_address"]


def counted_by(request: Any, credentials: dict[str, Any] | None) -> list[Any]:
    """Whatever is reached first, per account or per network address, makes both wait.

    The last active superuser who is not locked out is counted together with the network address alone: otherwise
    anybody could lock out, from anywhere and for as long as they like, all of those who can unlock.
    """
    username = typed_username(request, credentials)
    superusers = User.objects.active_superusers()
    if superusers.filter(username=username).exists():
        others = superusers.exclude(username=username).exclude(locked())
        if not others.exists():
            return [BOTH, ONE_ADDRESS]
    return [ONE_ACCOUNT, ONE_ADDRESS]


def typed_username(request: Any, credentials: dict[str, Any] | None) -> str:
    username = (credentials or {}).get("username") or getattr(request, "username", "")  # Of a recorded attempt.
    if not username and isinstance(request, HttpRequest):
        username = request.POST.get("username", "")
    return str(username or "")


def counted_name(request: Any, credentials: dict[str, Any] | None = None) -> str:
    """The username under which failures are kept. One that nobody has may be anything, even a password: a digest."""
    username = typed_username(request, credentials)
    if not username or User.objects.filter(username=storable(username)).exists():
        return username
    return f"~{salted_hmac('accounts.throttling', username, algorithm='sha256').hexdigest()[:32]}"


def recent_failures() -> Any:
    return AccessAttempt.objects.filter(attempt_time__gte=timezone.now() - settings.AXES_COOLOFF_TIME)


def counted(by: str) -> Any:
    """The usernames, or network addresses, that are locked now."""
    failures = (
        recent_failures().exclude(**{by: None}).order_by().values(by).annotate(failures=Sum("failures_since_start"))
    )
    return failures.filter(failures__gte=settings.AXES_FAILURE_LIMIT).values(by)


def locked() -> Q:
    """People who can't sign in now."""
    return Q(username__in=counted(ONE_ACCOUNT))


def locked_addresses() -> list[str]:
    """Network addresses from which nobody can sign in now."""
    return list(counted(ONE_ADDRESS).values_list(ONE_ADDRESS, flat=True)[:100])


def unlock_address(address: str) -> bool:
    """Let whoever is there try again at once; False where the address is not locked."""
    if address not in locked_addresses():
        return False
    reset(ip=address)
    PersonEvent.note(PersonEvent.Type.UNLOCKED, None, address=address)
    return True


def unlock(people: Sequence[User], reason: str = "") -> None:
    """Let these people try again at once."""
    for person in people:
        reset(username=person.username)
        PersonEvent.note(PersonEvent.Type.UNLOCKED, person, reason=reason)
