"""Who has read the body of a message: kept beside what happened to it, once per reader and sitting."""

from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from emails.middleware import client_address
from emails.models import EmailEvent, EmailLog

SITTING = timedelta(minutes=10)  # The page, its frame and its source are one reading.


def note(email: EmailLog, request: HttpRequest) -> None:
    """Keep that the signed-in person reads the body now, and from where; of one that is forgotten nothing is read."""
    if email.purged_at:
        return
    user: Any = request.user
    since = timezone.now() - SITTING
    known = ((event.type, event.actor_id) for event in email.events.all() if event.recorded_at >= since)
    if ("read", user.pk) not in known:
        EmailEvent.of_staff(email, "read", user, address=client_address(request)).save()
