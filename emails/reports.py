"""A provider's report in our own terms: which message and recipient it is about, and what makes it the one it is."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from anymail.signals import AnymailTrackingEvent, EventType
from django.utils import timezone

from emails.addresses import bare
from emails.payload import storable
from emails.profile import Provider, Webhook
from emails.wording import scrub

UNINTERESTING = {EventType.UNKNOWN, EventType.INBOUND, EventType.INBOUND_FAILED}
SIGNATURE = {"signature", "token", "timestamp"}
FIRST = datetime(2000, 1, 1, tzinfo=UTC)
FINAL = {EventType.BOUNCED, EventType.REJECTED, EventType.FAILED}
KNOWN = {value for name, value in vars(EventType).items() if name.isupper()} - UNINTERESTING


class Odd(ValueError):
    """A report that says something of a type that no report has."""


@dataclass(frozen=True)
class Report:
    type: str  # As Anymail names it.
    at: datetime | None  # None: it does not say when.
    event_id: str
    message_id: str
    recipient: str  # Bare, in lower case.
    ref: UUID | None
    key: str  # Two reports with the same are the same.
    fingerprint: str  # Of all it says.
    hard: bool = False  # A bounce that will happen again.
    detail: dict[str, str] = field(default_factory=dict)


def report(provider: Provider, event: AnymailTrackingEvent) -> Report | None:
    """What `event` says, or None where it is about nothing that we could have sent. Raises Odd, or what json raises."""
    name = event.event_type
    ref, message_id = reference(event), text(event.message_id)
    recipient, event_id = bare(text(event.recipient)), text(event.event_id)
    if name not in KNOWN or not (ref or message_id):
        return None
    raw = dict(event.esp_event.lists()) if hasattr(event.esp_event, "lists") else event.esp_event
    webhook = provider.webhook
    if webhook is not None and not webhook.signs_body and event_id:
        # Its signature covers the token alone, so that nothing else may come under that; it may be signed anew.
        raw = {name: value for name, value in raw.items() if name not in SIGNATURE}
        fingerprint, key = digest(raw), token_key(provider, event_id)
    else:
        fingerprint = digest(raw)
        key = "webhook:" + digest([provider.key, event_id or fingerprint, recipient, name])
    return Report(
        type=name,
        at=moment(event.timestamp),
        event_id=event_id,
        message_id=message_id,
        recipient=recipient,
        ref=ref,
        key=key,
        fingerprint=fingerprint,
        hard=webhook is not None and name in FINAL and is_hard(raw, webhook),
        detail=detail(event),
    )


def is_hard(raw: Any, webhook: Webhook) -> bool:
    """Whether the bounce will happen again; what only stands on the provider's own list has not bounced now."""
    return said(raw, webhook.hard_at) in webhook.hard_is and said(raw, webhook.listed_at) not in webhook.listed_is


def token_key(provider: Provider, token: str) -> str:
    return "webhook:" + digest([provider.key, token])


def reference(event: AnymailTrackingEvent) -> UUID | None:
    """Our own reference, as metadata or as a tag."""
    metadata = event.metadata if isinstance(event.metadata, dict) else {}
    tags = event.tags if isinstance(event.tags, list | tuple) else [event.tags]
    for value in (metadata.get("ref"), *tags):
        if isinstance(value, str) and len(value) == 36:
            try:
                return UUID(value)
            except ValueError:
                continue
    return None


def text(value: Any) -> str:
    """An identifier or an address. Raises Odd for what is neither a text nor a number."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Odd
    return storable(str(value))[:255]


def moment(value: Any) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise Odd
    try:
        at = value.astimezone(UTC) if timezone.is_aware(value) else value.replace(tzinfo=UTC)
    except OverflowError as error:
        raise Odd from error
    # A clock that is set wrong tells no time, and must not have the last word for ever.
    return at if FIRST < at < timezone.now() + timedelta(days=1) else None


def detail(event: AnymailTrackingEvent) -> dict[str, str]:
    """What is kept to be read. Of a link its host alone, since the rest may be a key to somebody's account."""
    link = event.click_url if isinstance(event.click_url, str) else ""
    kept = {
        "error": ": ".join(str(part) for part in (event.description, event.mta_response) if isinstance(part, str)),
        "reason": event.reject_reason,
        "link": host_of(link),
        "agent": event.user_agent,
    }
    return {name: scrub(value) for name, value in kept.items() if isinstance(value, str) and value}


def host_of(link: str) -> str | None:
    try:
        return urlsplit(link).hostname
    except ValueError:
        return None


def said(raw: Any, path: str) -> str:
    """What stands at `path` (keys, with dots between) of a provider's event, or ""."""
    for key in path.split("."):
        raw = raw.get(key) if isinstance(raw, dict) else None
    return str(raw) if isinstance(raw, str | int) else ""


def digest(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
