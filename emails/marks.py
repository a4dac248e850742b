"""Our reference on a message, by which the provider's reports find its row again; and what its kind is."""

from email.utils import parseaddr
from typing import Any

from anymail.utils import UNSET
from django.core.mail import EmailMessage

from emails.providers import Provider


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
        message.tags = tags if tags and provider.tags < 2 else [*tags, ref]  # type: ignore[attr-defined]
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
