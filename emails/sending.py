"""One attempt: the recorded message is put together again and handed to the provider."""

import logging
import threading
from contextlib import suppress

from anymail.exceptions import AnymailError
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from emails import outcomes, providers
from emails.models import EmailLog
from emails.outcomes import Outcome
from emails.payload import Payload, StoredAttachment, load
from emails.providers import Provider

logger = logging.getLogger(__name__)

ANTICIPATED = (AnymailError, ImproperlyConfigured, OSError, ValueError)


class Sender:
    """Sends from any number of threads, each over provider connections of its own that it keeps open."""

    def __init__(self) -> None:
        self.thread = threading.local()
        self.opened: list[BaseEmailBackend] = []  # list.append is atomic

    def send(self, email: EmailLog, provider: Provider) -> Outcome:
        """Make one attempt. Every end is an Outcome; nothing is raised and the database is not touched."""
        message: EmailMessage = EmailMessage()
        try:
            message = outgoing(email, provider)
            sent = self.connection(provider).send_messages([message])
            return outcomes.of_answer(message, sent)
        except Exception as error:
            self.discard(provider)
            if not isinstance(error, ANTICIPATED):
                logger.error("email.unexpected_error id=%s error=%s", email.pk, outcomes.frames(error))
            return outcomes.of_error(message, error)

    def connections(self) -> dict[str, BaseEmailBackend]:
        """This thread's open connections, by provider."""
        connections: dict[str, BaseEmailBackend] = self.thread.__dict__.setdefault("connections", {})
        return connections

    def connection(self, provider: Provider) -> BaseEmailBackend:
        connection = self.connections().get(provider.key)
        if connection is None:
            connection = providers.connection(provider)
            connection.open()
            self.connections()[provider.key] = connection
            self.opened.append(connection)
        return connection

    def discard(self, provider: Provider) -> None:
        """Drop this thread's connection after an error: an SMTP dialogue may be anywhere."""
        connection = self.connections().pop(provider.key, None)
        if connection is not None:
            self.opened.remove(connection)
            close(connection)

    def close(self) -> None:
        for connection in self.opened:
            close(connection)


def close(connection: BaseEmailBackend) -> None:
    with suppress(Exception):  # What it sent is accepted; a QUIT that fails changes nothing.
        connection.close()


def outgoing(email: EmailLog, provider: Provider) -> EmailMessage:
    """The message as the provider gets it, our reference aboard."""
    attachments = [StoredAttachment(a.filename, a.mimetype, bytes(a.content)) for a in email.attachments.all()]
    message = load(Payload(email.payload, email.text, email.html, attachments))
    providers.mark(message, provider, str(email.ref), email.kind)
    return message
