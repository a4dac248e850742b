"""One attempt: the recorded message is put together again and handed to the provider, by one of a few senders."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from anymail.exceptions import AnymailError, AnymailUnsupportedFeature
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from emails import connections, envelope, outcomes, providers
from emails.desk import Desk
from emails.digests import of_content
from emails.frozen import freeze
from emails.marks import mark
from emails.minting import fill
from emails.models import EmailLog
from emails.outcomes import Outcome
from emails.payload import Payload, StoredAttachment, has_attachments, load
from emails.providers import Provider
from emails.sessions import IDLE
from emails.verdicts import Verdict
from emails.wording import frames

logger = logging.getLogger(__name__)

ANTICIPATED = (AnymailError, ImproperlyConfigured, OSError, ValueError)
Attempt = tuple[EmailLog, Provider, bool, "SimpleQueue[Ended | None]"]
Ended = tuple[EmailLog, Outcome]


class Senders:
    """A few, each with provider connections of its own that stay open from message to message.

    `at_desk` they share one thread, which only a session of ours knows how to leave; else each has its own.
    """

    def __init__(self, number: int, *, at_desk: bool) -> None:
        self.number = number
        self.busy: dict[int, tuple[Sender, float]] = {}  # Who is at which message, and since when.
        self.work: Desk | SimpleQueue[Attempt | None] = Desk("email") if at_desk else SimpleQueue()
        if isinstance(self.work, Desk):
            self.work.seat(number, self.run)
            return
        for n in range(number):
            threading.Thread(target=self.run, name=f"email-{n}", daemon=True).start()

    def submit(
        self, email: EmailLog, provider: Provider, ended: "SimpleQueue[Ended | None]", *, trial: bool = False
    ) -> None:
        """Have an attempt made; `(email, Outcome)` is put into `ended`. `trial`: ask first whether anybody is there."""
        self.work.put((email, provider, trial, ended))

    def run(self) -> None:
        sender = Sender()
        while True:
            try:
                attempt = self.work.get(timeout=IDLE if sender.connections else None)
            except Empty:
                sender.close()
                continue
            if attempt is None:
                sender.close()
                return
            email, provider, trial, ended = attempt
            self.busy[email.id] = (sender, time.monotonic())
            try:
                outcome = sender.send(email, provider, trial=trial)
            except BaseException as error:  # Whatever a provider answers: every attempt ends, and every sender goes on.
                outcome = Outcome(Verdict.AMBIGUOUS, type(error).__name__, "How it ended could not be told.")
                logger.error("email.unexpected_error id=%s error=%s", email.id, frames(error))
            finally:
                self.busy.pop(email.id, None)
                ended.put((email, outcome))

    def break_off(self) -> None:
        """End calls that take longer than any should, from another thread: time-outs of HTTP are per read."""
        for sender, began in tuple(self.busy.values()):
            if time.monotonic() - began > settings.EMAILS["DEADLINE"]:
                sender.abort()

    def stop(self) -> None:
        """Let the senders end after what they are at."""
        for _ in range(self.number):
            self.work.put(None)


_kept: dict[str, tuple[Any, Senders]] = {}
_keeping = threading.Lock()


def kept_senders(provider: Provider) -> Senders:
    """This process's senders, kept from drain to drain: a new TLS session costs twenty times what a message does."""
    made_for = (os.getpid(), settings.EMAILS, settings.ANYMAIL)  # A fork has no threads; tests change the settings.
    with _keeping:
        for key in _kept.keys() - {known.key for known in (provider, *providers.in_use())}:
            _kept.pop(key)[1].stop()
        kept = _kept.get(provider.key)
        if kept is None or any(old is not new and old != new for old, new in zip(kept[0], made_for, strict=True)):
            if kept is not None:
                kept[1].stop()
            senders = Senders(settings.EMAILS["CONCURRENCY"], at_desk=provider.by_session)
            kept = _kept[provider.key] = (made_for, senders)
        return kept[1]


class Sender:
    """One attempt after the other, over connections of its own, by provider."""

    def __init__(self) -> None:
        self.connections: dict[str, BaseEmailBackend] = {}
        self.rested_at = time.monotonic()

    def send(self, email: EmailLog, provider: Provider, *, trial: bool = False) -> Outcome:
        """Make one attempt. Every end is an Outcome; nothing is raised and the database is not touched."""
        message: EmailMessage = EmailMessage()
        try:
            message = outgoing(email, provider)
            connection = self.connection(provider)
            if trial:
                connections.call_on(connection)
            try:
                sent = connection.send_messages([message])
            except AnymailUnsupportedFeature:  # Before anything left. What is ours yields first.
                message = outgoing(email, provider, marked=False)
                sent = connection.send_messages([message])
            return envelope.as_addressed(outcomes.of_answer(message, sent), email)
        except Exception as error:
            self.discard(provider)
            if not isinstance(error, ANTICIPATED):
                logger.error("email.unexpected_error id=%s error=%s", email.id, frames(error))
            return envelope.as_addressed(outcomes.of_error(message, error), email)
        finally:
            self.rested_at = time.monotonic()

    def connection(self, provider: Provider) -> BaseEmailBackend:
        if time.monotonic() - self.rested_at > IDLE:
            self.close()
        connection = self.connections.get(provider.key)
        if connection is None:
            connection = connections.connection(provider)
            connection.open()
            self.connections[provider.key] = connection
        return connection

    def abort(self) -> None:
        for connection in list(self.connections.values()):
            # Anymail's session, or Django's SMTP backend, keeps what is connected as its `connection`.
            connected: Any = getattr(getattr(connection, "session", connection), "connection", None)
            with suppress(OSError, AttributeError, TypeError):
                # The socket's own: that of TLS forgets its keys first, with which an answer may just be read.
                socket.socket.shutdown(connected.sock, socket.SHUT_RDWR)

    def discard(self, provider: Provider) -> None:
        """Drop the connection after an error: an SMTP dialogue may be anywhere."""
        connection = self.connections.pop(provider.key, None)
        if connection is not None:
            close(connection.close)

    def close(self) -> None:
        for connection in self.connections.values():
            close(connection.close)
        self.connections.clear()


def close(closing: Callable[[], None]) -> None:
    with suppress(Exception):  # What it sent is accepted; a QUIT that fails changes nothing.
        closing()


def outgoing(email: EmailLog, provider: Provider, *, marked: bool = True) -> EmailMessage:
    """The message as the provider gets it, our reference aboard: the same bytes at every attempt."""
    attached = list(email.attachments.all()) if has_attachments(email.payload) else []
    email.digest = of_content(email, attached)
    attachments = [StoredAttachment(a.filename, a.mimetype, bytes(a.content)) for a in attached]
    data, text, html = (fill(piece, email.secrets) for piece in (email.payload, email.text, email.html))
    message = load(Payload(data, text, html, attachments))
    if marked:
        mark(message, provider, str(email.ref), email.kind)
    envelope.address(message, {recipient.address for recipient in email.reached if recipient.suppressed})
    return freeze(message, str(email.ref), email.created_at)
