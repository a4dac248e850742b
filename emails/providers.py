"""The email service providers: the one table of what is known of each, and a connection to the chosen one."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parseaddr
from typing import Any

import django
import requests
from anymail.utils import UNSET
from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.utils.module_loading import import_string

from emails.sessions import NeverConnected, Session

KEY_MARGIN = 0.6  # Of a key's life: after that nobody relies on it.


@dataclass(frozen=True, kw_only=True)
class Provider:
    """What sets one provider apart from the others, all of it data."""

    key: str  # The value of EMAIL_PROVIDER.
    label: str
    backend: str
    required: tuple[str, ...] = ()  # Variables without which it can't send.
    prefix: str = ""  # Variables that start so are Anymail's settings of this provider.
    single_tag: bool = False  # Takes no second tag: a caller's own then leaves no room for our reference.
    reports: bool = True  # Tells by webhook what became of a message.
    key_in: str = ""  # Where our key travels, by which it does so: "http" or "message" (a header of either), or "".
    key_hours: float = 0.0  # How long it knows a message again by our key, and sends no second copy of it.
    ref_in: str = "metadata"  # Where our opaque reference travels: "metadata", "tags" or "" (the Message-ID).

    @property
    def by_session(self) -> bool:
        """Whether it is reached through our own Session, which knows when it waits."""
        return bool(self.prefix) and self.key != "amazon_ses"

    def remembers(self, first_tried_at: datetime | None, now: datetime) -> bool:
        """Whether another attempt is safe, since the key of the first is still known (with a margin for the way)."""
        lives = timedelta(hours=self.key_hours * KEY_MARGIN)
        return bool(self.key_hours and first_tried_at and now - first_tried_at < lives)

    @staticmethod
    def example(variable: str) -> str:
        return "https://…" if variable.endswith("_URL") else "the value from the provider's console"


def anymail(key: str, label: str, *required: str, **differences: Any) -> Provider:
    """A provider that Anymail reaches; setting names as in Anymail's documentation of that ESP."""
    prefix = f"{key.upper()}_"
    return Provider(
        key=key,
        label=label,
        backend=f"anymail.backends.{key}.EmailBackend",
        required=tuple(f"{prefix}{name}" for name in required),
        prefix=prefix,
        **differences,
    )


PROVIDERS = {
    provider.key: provider
    for provider in (
        Provider(key="console", label="Console", backend="emails.transports.ConsoleBackend", reports=False, ref_in=""),
        Provider(
            key="smtp",
            label="SMTP",
            backend="emails.transports.SMTPBackend",
            required=("EMAIL_HOST",),
            reports=False,
            ref_in="",
        ),
        anymail("amazon_ses", "Amazon SES"),
        # Brevo, "Idempotent requests": 30 minutes.
        anymail("brevo", "Brevo", "API_KEY", key_in="message", key_hours=0.5),
        # MailerSend and Postal carry no metadata (Anymail raises AnymailUnsupportedFeature), but tags.
        anymail("mailersend", "MailerSend", "API_TOKEN", ref_in="tags"),
        anymail("mailgun", "Mailgun", "API_KEY"),
        anymail("mailjet", "Mailjet", "API_KEY", "SECRET_KEY"),
        anymail("mailtrap", "Mailtrap", "API_TOKEN"),
        anymail("mandrill", "Mandrill", "API_KEY"),
        anymail("postal", "Postal", "API_KEY", "API_URL", ref_in="tags", single_tag=True),
        anymail("postmark", "Postmark", "SERVER_TOKEN"),
        anymail("resend", "Resend", "API_KEY", key_in="http", key_hours=24),  # Resend, "Idempotency Keys"
        anymail("scaleway", "Scaleway", "SECRET_KEY", "PROJECT_ID", reports=False),
        anymail("sendgrid", "SendGrid", "API_KEY"),
        anymail("sparkpost", "SparkPost", "API_KEY"),
        anymail("unisender_go", "Unisender Go", "API_KEY", "API_URL"),
    )
}


def active() -> Provider:
    """The provider that EMAIL_PROVIDER names."""
    return PROVIDERS[settings.EMAILS["PROVIDER"]]


def connection(provider: Provider) -> BaseEmailBackend:
    """A new connection to `provider`, not opened yet and not to be shared between threads.

    Raises Anymail's configuration errors where the provider's settings do not fit.
    """
    backend = import_string(provider.backend)
    # Django 6.1 deprecates backends without an alias; 5.2 ignores the argument. (docs: topics/email, MAILERS)
    alias = {"alias": provider.key} if django.VERSION >= (6, 1) else {}
    connection: BaseEmailBackend = noting_hand_over(backend)(**alias, **options(provider))
    return connection


def options(provider: Provider) -> dict[str, Any]:
    """What the provider's backend is made with, beside the settings that it finds in ANYMAIL by itself."""
    if provider.key != "amazon_ses":
        return dict(settings.EMAILS["OPTIONS"]) if provider.key == active().key else {}
    params = settings.ANYMAIL.get("AMAZON_SES_CLIENT_PARAMS", {})
    timeout = settings.ANYMAIL["REQUESTS_TIMEOUT"]
    # botocore posts up to three times by itself, and SES has no key by which it would know (botocore, "Retries").
    config = {"connect_timeout": timeout, "read_timeout": timeout, **params.get("config", {})}
    return {"client_params": {**params, "config": {**config, "retries": {"total_max_attempts": 1}}}}


def noting_hand_over(backend: type[Any]) -> type[Any]:
    """`backend`, which sets `message.handed_over` right before the provider can have received anything."""
    if not hasattr(backend, "post_to_esp"):
        return backend

    class EmailBackend(backend):  # type: ignore[misc]
        def create_session(self) -> Any:
            return Session(like=super().create_session())

        def post_to_esp(self, payload: Any, message: EmailMessage) -> Any:
            key = getattr(message, "idempotency_key", None)
            if key and getattr(payload, "headers", None) is not None:
                payload.headers[KEY_HEADER] = key
            message.handed_over = True  # type: ignore[attr-defined]
            return super().post_to_esp(payload, message)

    return EmailBackend


KEY_HEADER = "Idempotency-Key"  # draft-ietf-httpapi-idempotency-key-header, which Resend follows


def call_on(connection: Any) -> None:
    """Ask a provider that was gone whether anybody is there, before a message is risked: raises NotThere if not.

    Whatever it answers will do, even that there is nothing to see; SMTP has said hello when the connection was opened.
    """
    session, url = getattr(connection, "session", None), getattr(connection, "api_url", "")
    if session is None or not url:
        return
    try:
        session.get(url, timeout=min(CALL_SECONDS, connection.timeout))
    except (NeverConnected, requests.Timeout) as error:
        raise NotThere(type(error).__name__) from error
    except Exception:
        return  # Somebody closed the door, so somebody is there; and this question must not cost a message.


CALL_SECONDS = 5.0


class NotThere(OSError):
    """The provider does not answer; nothing was handed to it."""


def mark(message: EmailMessage, provider: Provider, ref: str, kind: str) -> None:
    """Put our reference where `provider` hands it back, and the kind as a tag where there is room for one."""
    tags, metadata = list(given(message, "tags", [])), given(message, "metadata", {})
    if provider.key_in == "http":
        message.idempotency_key = ref  # type: ignore[attr-defined]
    elif provider.key_in == "message":  # Among the message's headers in the body, where Brevo looks for it.
        message.extra_headers.setdefault("idempotencyKey", ref)
    if provider.ref_in == "metadata":
        message.metadata = {**metadata, "ref": ref}  # type: ignore[attr-defined]
        # One tag is all that some providers take, and the caller's own comes first.
        message.tags = tags or ([kind] if kind else [])  # type: ignore[attr-defined]
    elif provider.ref_in == "tags":
        message.tags = tags if tags and provider.single_tag else [*tags, ref]  # type: ignore[attr-defined]
    elif "message-id" not in {name.lower() for name in message.extra_headers}:
        message.extra_headers["Message-ID"] = f"<{ref}@{domain_of(message.from_email)}>"


def domain_of(sender: str) -> str:
    """The sender's domain as a Message-ID may have it, in ASCII."""
    _local, at, domain = parseaddr(sender)[1].rpartition("@")
    try:
        return domain.encode("idna").decode() if at and domain else "localhost"
    except UnicodeError:
        return "localhost"


def given(message: EmailMessage, name: str, default: Any) -> Any:
    """An Anymail attribute of the message, or `default` where it is unset or None."""
    value = getattr(message, name, UNSET)
    return default if value is UNSET or value is None else value
