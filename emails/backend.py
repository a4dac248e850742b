from collections.abc import Sequence
from typing import Any

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from emails.recording import record


class EmailBackend(BaseEmailBackend):
    """The default mailer: whatever is sent through Django's mail API is recorded, then delivered after commit."""

    def __init__(self, fail_silently: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fail_silently = fail_silently

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Record all messages that have recipients and return their number.

        Raises UnstorableMessage for a message that can't be recorded as it is, unless `fail_silently`,
        and the database's errors: a message that is not recorded is never reported as sent.
        """
        messages = [message for message in email_messages or () if message.recipients()]
        if not messages:
            return 0
        try:
            return len(record(messages))
        except ValueError:
            if self.fail_silently:
                return 0
            raise
