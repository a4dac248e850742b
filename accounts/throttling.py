"""By what failed sign-ins are counted (django-axes), who is locked out now, and how a lock is lifted."""

from collections.abc import Sequence
from typing import Any

from axes.models import AccessAttempt
from axes.utils import reset
from django.conf import settings
from django.db.models import Exists, OuterRef, Q, Sum
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import PersonEvent, User

ONE_ACCOUNT, ONE_ADDRESS, BOTH = "username", "ip_address", ["username", "ip_address"]


def counted_by(request: Any, credentials: dict[str, Any] | None) -> list[Any]:
    """Whatever is reached first, per account or per network address, makes both wait.

    The last active superuser is counted together with the network address alone: otherwise anybody could lock out, from
    anywhere and for as long as they like, the only one who can unlock.
    """
    username = (credentials or {}).get("username") or getattr(request, "username", "")  # Of a recorded attempt.
    if not username and isinstance(request, HttpRequest):
        username = request.POST.get("username", "")
    superusers = list(User.objects.active_superusers().values_list("username", flat=True)[:2])
    return [BOTH, ONE_ADDRESS] if superusers == [username] else [ONE_ACCOUNT, ONE_ADDRESS]


def client_address(request: HttpRequest) -> str:
    """The network address of the client. What it says of itself (X-Forwarded-For) counts for nothing.

    Behind a proxy it is the last entry, which the proxy itself has added.
    """
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "") if settings.BEHIND_PROXY else ""
    return forwarded.rpartition(",")[2].strip() or request.META.get("REMOTE_ADDR", "")


def recent_failures() -> Any:
    return AccessAttempt.objects.filter(attempt_time__gte=timezone.now() - settings.AXES_COOLOFF_TIME)


def is_locked(username: Any) -> Exists:
    """SQL: whether the account with this username (an outer query's column) is locked now."""
    attempts = recent_failures().filter(username=username).order_by().values("username")
    counted = attempts.annotate(failures=Sum("failures_since_start"))
    return Exists(counted.filter(failures__gte=settings.AXES_FAILURE_LIMIT))


def locked() -> Q:
    """People who can't sign in now."""
    return Q(is_locked(OuterRef("username")))


def unlock(people: Sequence[User], reason: str = "") -> None:
    """Let these people try again at once."""
    for person in people:
        reset(username=person.username)
        PersonEvent.note(PersonEvent.Type.UNLOCKED, person, reason=reason)
