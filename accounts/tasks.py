"""What is done behind the answer to somebody who has forgotten a password, so that the answer tells nothing."""

from datetime import timedelta

from django.utils import timezone

from accounts import links
from accounts.models import PersonEvent, User
from emails.cause import caused_by
from emails.sealing import locks
from emails.tasks import task

MOST = 3  # Requests of strangers, in an hour, that lead to mail: nobody's inbox is theirs to fill.


@task()
def send_password_reset(sealed: str) -> None:
    """Mail a link to whoever has this address, if anybody has. It is sealed: the engine keeps what it has done."""
    address = locks().decrypt(sealed).decode()
    with caused_by("POST /accounts/password_reset/"):
        for person in User.objects.addressed(address).filter(is_active=True):
            asked = person.events.filter(type=PersonEvent.Type.RESET_SENT, actor=None)
            if asked.filter(at__gte=timezone.now() - timedelta(hours=1)).count() < MOST:
                links.send("password_reset", person)
