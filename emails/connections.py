"""A connection to a provider: Anymail's or Django's own backend, made to tell when a message is handed over."""

import sys
from functools import partial
from typing import Any

import django
import requests
from anymail.backends.base import BasePayload
from anymail.utils import parse_address_list
from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.utils.module_loading import import_string

from emails.addresses import parsed
from emails.providers import Provider
from emails.sessions import NeverConnected, Session

KEY_HEADER = "Idempotency-Key"  # draft-ietf-httpapi-idempotency-key-header, which Resend follows
CALL_SECONDS = 5.0
ADDRESSING = {"to", "cc", "bcc", "esp_extra", "merge_data", "merge_metadata", "merge_headers"}  # Not where redirected.

# The one place where the payloads of all providers can be told how to read addresses.
BasePayload.base_message_attrs = tuple(  # type: ignore[assignment]
    (name, combine, partial(parsed, field=name) if read is parse_address_list else read)
    for name, combine, read in BasePayload.base_message_attrs
)


class NotThere(OSError):
    """The provider does not answer; nothing was handed to it."""


def connection(provider: Provider) -> BaseEmailBackend:
    """A new connection to `provider`, not opened yet and not to be shared between senders.

    Raises Anymail's configuration errors where the provider's settings do not fit.
    """
    backend = import_string(provider.backend)
    # Django 6.1 deprecates backends without an alias; 5.2 ignores the argument. (docs: topics/email, MAILERS)
    alias = {"alias": provider.key} if django.VERSION >= (6, 1) else {}
    connection: Any = noting_hand_over(backend)(**alias, **options(provider))
    if settings.EMAILS["REDIRECT_TO"] and hasattr(connection, "send_defaults"):
        defaults = connection.send_defaults.items()
        connection.send_defaults = {name: value for name, value in defaults if name not in ADDRESSING}
    made: BaseEmailBackend = connection
    return made


def options(provider: Provider) -> dict[str, Any]:
    """What the provider's backend is made with, beside the settings that it finds in ANYMAIL by itself."""
    if provider.key == "smtp":
        return dict(settings.EMAILS["OPTIONS"])
    if provider.key != "amazon_ses":
        return {}
    params = settings.ANYMAIL.get("AMAZON_SES_CLIENT_PARAMS", {})
    timeout = settings.ANYMAIL["REQUESTS_TIMEOUT"]
    # botocore posts up to three times by itself, and SES has no key by which it would know (botocore, "Retries").
    config = {"connect_timeout": timeout, "read_timeout": timeout, **params.get("config", {})}
    return {"client_params": {**params, "config": {**config, "retries": {"total_max_attempts": 1}}}}


def noting_hand_over(backend: type[Any]) -> type[Any]:
    """`backend`, which sets `message.handed_over` right before the provider can have received anything."""
    if not hasattr(backend, "post_to_esp"):
        return backend
    module: Any = sys.modules[backend.__module__]
    if hasattr(module, "parse_address_list"):  # By this name it reads the addresses in answers.
        module.parse_address_list = parsed

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
