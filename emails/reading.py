"""Who has read the body of a message: kept beside what happened to it, once per reader and sitting."""

from datetime import timedelta
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone

from emails.models import EmailEvent, EmailLog

SITTING = timedelta(minutes=10)  # The page, its frame and its source are one reading.


def note(email: EmailLog, request: HttpRequest) -> None:
    """Keep that the signed-in person reads the body now, and from where."""
    user: Any = request.user
    since = timezone.now() - SITTING
    if not email.events.filter(type="read", actor=user.pk, recorded_at__gte=since).exists():
        EmailEvent.of_staff(email, "read", user, address=client_address(request)).save()


def client_address(request: HttpRequest) -> str:
    """The network address of the client. What it says of itself (X-Forwarded-For) counts for nothing.

    Behind a proxy it is the last entry, which the proxy itself has added; some proxies write a port behind it. "" where
    there is none: on a Unix socket without a proxy.
    """
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "") if settings.BEHIND_PROXY else ""
    for said in (forwarded.rpartition(",")[2].strip(), request.META.get("REMOTE_ADDR", "")):
        for address in (said, said.rpartition(":")[0].strip("[]")):
            try:
                return str(ip_address(address))
            except ValueError:
                continue
    return ""
