"""Django's own SMTP and console backends, made to tell what became of each recipient, as Anymail's do."""

import smtplib
import threading
from email.utils import getaddresses
from typing import Any

from anymail.message import AnymailRecipientStatus, AnymailStatus
from django.core.mail import EmailMessage
from django.core.mail.backends.console import EmailBackend as DjangoConsoleBackend
from django.core.mail.backends.smtp import EmailBackend as DjangoSMTPBackend


def report(message: EmailMessage, refused: dict[str, Any] | None = None) -> None:
    """Leave an `anymail_status` on the message: all sent under its Message-ID but those refused (by addr-spec)."""
    message_id = next((value for name, value in message.extra_headers.items() if name.lower() == "message-id"), None)
    addresses = [address for _, address in getaddresses(message.recipients())]
    status = AnymailStatus()
    status.set_recipient_status(
        {
            address: AnymailRecipientStatus(message_id, "rejected" if address in (refused or {}) else "sent")
            for address in addresses
        }
    )
    message.anymail_status = status  # type: ignore[attr-defined]


class ConsoleBackend(DjangoConsoleBackend):
    """Prints each message to standard output, one after the other."""

    printing = threading.Lock()  # Every thread has a backend of its own.

    def send_messages(self, email_messages: Any) -> int:
        with self.printing:
            count = super().send_messages(email_messages)
        for message in email_messages:
            report(message)
        return count or 0


class TellingSMTP:
    """Tells when the message's bytes begin to leave, and which recipients were refused while others were accepted."""

    message: EmailMessage
    refused: dict[str, Any]

    def sendmail(self, from_addr: Any, to_addrs: Any, msg: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        self.refused = super().sendmail(from_addr, to_addrs, msg, *args, **kwargs)  # type: ignore[misc]
        return self.refused

    def data(self, msg: Any) -> Any:
        self.message.handed_over = True  # type: ignore[attr-defined]
        return super().data(msg)  # type: ignore[misc]


class TellingSMTPPlain(TellingSMTP, smtplib.SMTP):
    pass


class TellingSMTPSSL(TellingSMTP, smtplib.SMTP_SSL):
    pass


class SMTPBackend(DjangoSMTPBackend):
    """SMTP that reports a partial refusal, which Django's backend swallows."""

    @property
    def connection_class(self) -> type[smtplib.SMTP]:
        return TellingSMTPSSL if self.use_ssl else TellingSMTPPlain

    def _send(self, email_message: EmailMessage) -> bool:
        connection: Any = self.connection
        connection.message = email_message
        sent = super()._send(email_message)  # type: ignore[misc]
        if sent:
            report(email_message, connection.refused)
        return bool(sent)
