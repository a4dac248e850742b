"""A message as JSON text and back, without loss: what a provider is sent later is what `send()` was called with."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from email.message import Message, MIMEPart
from email.mime.base import MIMEBase
from typing import Any

import django
from anymail.message import AnymailMessage
from anymail.utils import UNSET, Attachment
from django.core.mail import EmailMessage
from django.utils.functional import Promise

from emails.addresses import is_one
from emails.mime import part_from_bytes, part_to_bytes

ADDRESS_FIELDS = ("to", "cc", "bcc", "reply_to")
ANYMAIL_FIELDS = (
    "envelope_sender metadata send_at tags track_clicks track_opens template_id merge_data merge_global_data "
    "merge_headers merge_metadata esp_extra"
).split()
# Line breaks inject headers: Django's SMTP refuses them, Anymail's HTTP backends pass them on.
FORBIDDEN = re.compile("[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")


class UnstorableMessage(ValueError):
    """Raised by `send()` for a message that can't be recorded as it is; the text says what to change."""


@dataclass(frozen=True)
class StoredAttachment:
    filename: str
    mimetype: str
    content: bytes


@dataclass(frozen=True)
class Payload:
    """A message in pieces: `data` is JSON text that refers to the other pieces instead of repeating them."""

    data: str
    text: str
    html: str
    attachments: Sequence[StoredAttachment] = ()


def dump(message: EmailMessage) -> Payload:
    """Take a message apart. Raises UnstorableMessage for what would be lost, or would inject a header."""
    refuse_overrides(message)
    if not isinstance(message.body, str | Promise):
        raise UnstorableMessage(f"The body is {type(message.body).__name__}: give it as text.")
    metadata = getattr(message, "metadata", UNSET)
    if isinstance(metadata, Mapping) and "ref" in metadata:
        raise UnstorableMessage('metadata["ref"] is taken by the log\'s own reference: name yours otherwise.')
    body, alternatives = plain(message.body), list(getattr(message, "alternatives", []))
    text = body if message.content_subtype == "plain" else ""
    html = next((c for c, mimetype in alternatives if mimetype == "text/html" and isinstance(c, str | Promise)), "")
    if message.content_subtype == "html":
        html = body
    columns = {"text": storable(text), "html": storable(plain(html))}

    def refer(content: Any) -> Any:
        content = plain(content)
        for name, column in columns.items():
            if content and content == column:
                return {"$": "column", "v": name}
        return encode(content, "body")

    described = [describe(attachment, number) for number, attachment in enumerate(message.attachments, 1)]
    data = {
        "subject": header("subject", message.subject),
        "from_email": header("from_email", message.from_email),
        **{field: addresses(field, getattr(message, field)) for field in ADDRESS_FIELDS},
        "headers": [[header("header name", n), header(n, v)] for n, v in message.extra_headers.items()],
        "content_subtype": message.content_subtype,
        "encoding": encode(message.encoding, "encoding"),
        "body": refer(message.body),
        "alternatives": [[refer(content), plain(mimetype)] for content, mimetype in alternatives],
        "attachments": [shape for shape, _ in described],
        "anymail": {
            name: encode(value, name)
            for name in ANYMAIL_FIELDS
            if (value := getattr(message, name, UNSET)) is not UNSET
        },
    }
    return Payload(json.dumps(data, allow_nan=False), **columns, attachments=[stored for _, stored in described])


def load(payload: Payload) -> AnymailMessage:
    """Put a message together again. Every call makes a new one."""
    data = json.loads(payload.data)
    columns = {"text": payload.text, "html": payload.html}
    message = AnymailMessage(
        subject=data["subject"],
        body=decode(data["body"], columns),
        from_email=data["from_email"],
        **{field: data[field] for field in ADDRESS_FIELDS},
        headers=dict(data["headers"]),
        **{name: decode(value, columns) for name, value in data["anymail"].items()},
    )
    message.content_subtype = data["content_subtype"]
    message.encoding = decode(data["encoding"], columns)
    for content, mimetype in data["alternatives"]:
        message.attach_alternative(decode(content, columns), mimetype)
    for shape, stored in zip(data["attachments"], payload.attachments, strict=True):
        if shape["form"] == "mime":
            message.attachments.append(part_from_bytes(stored.content))
        else:
            content = stored.content.decode("utf-8", "surrogatepass") if shape["form"] == "text" else stored.content
            message.attach(shape["filename"], content, shape["mimetype"])
    return message


def has_attachments(data: str) -> bool:
    """Whether a stored payload refers to attachments, told without reading all of it."""
    return '"attachments": []' not in data.partition('"anymail": {')[0]  # Beyond it, metadata may say anything.


def refuse_overrides(message: EmailMessage) -> None:
    for name in ("message", "recipients"):
        if getattr(type(message), name) is not getattr(EmailMessage, name):
            raise UnstorableMessage(
                f"{type(message).__name__} overrides {name}(), which can't be recorded: set headers and attributes."
            )
    if any(name.lower() == "bcc" for name in message.extra_headers):
        raise UnstorableMessage("A Bcc header would be seen by everybody: use the bcc argument.")
    for name, usual in (("mixed_subtype", "mixed"), ("alternative_subtype", "alternative")):
        if getattr(message, name, usual) != usual:
            raise UnstorableMessage(f"{name} can't be recorded (Django 6 does not send it either): leave it unset.")


def header(name: str, value: Any) -> str:
    """A header's value as text. Raises UnstorableMessage where it holds a line break or control character."""
    text: str = plain(str(value))
    if FORBIDDEN.search(text):
        raise UnstorableMessage(
            f"The {name} of an email can't hold line breaks, control characters or lone surrogates: remove them."
        )
    return text


def addresses(field: str, values: Any) -> list[str]:
    if isinstance(values, str | Promise):
        raise UnstorableMessage(f'"{field}" must be a list of addresses, not a text.')
    texts = [header(field, value) for value in values if value]  # Django sends to those that are not empty.
    for text in texts:
        if field != "reply_to" and not is_one(text):
            raise UnstorableMessage(f'"{field}" holds something that is not one email address like ada@example.com.')
    return texts


def describe(attachment: Any, number: int) -> tuple[dict[str, Any], StoredAttachment]:
    """An attachment's shape for the JSON, and its bytes for a row of their own."""
    if isinstance(attachment, MIMEBase | MIMEPart):
        if isinstance(attachment, MIMEPart) and django.VERSION < (6, 0):
            raise UnstorableMessage(f"Attachment {number} is a MIMEPart, which Django 5.2 can't send: use MIMEBase.")
        name = header("attachment's name", attachment.get_filename() or "")
        return {"form": "mime"}, StoredAttachment(name, attachment.get_content_type(), part_to_bytes(attachment))
    try:
        filename, content, mimetype = attachment
    except (TypeError, ValueError):
        raise UnstorableMessage(f"Attachment {number} is not (filename, content, mimetype).") from None
    if isinstance(content, EmailMessage | Message):
        # Rendered now: Django makes a new Date and Message-ID at every rendering of an attached message.
        content = Attachment((filename, content, mimetype)).content
    content = plain(content)
    if isinstance(content, bytearray | memoryview):
        content = bytes(content)
    if not isinstance(content, str | bytes):
        raise UnstorableMessage(f"Attachment {number} holds {type(content).__name__}: give it as text or bytes.")
    shape = {
        "form": "text" if isinstance(content, str) else "bytes",
        "filename": None if filename is None else header("attachment's name", filename),
        "mimetype": None if mimetype is None else header("attachment's type", mimetype),
    }
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return shape, StoredAttachment(storable(shape["filename"] or ""), shape["mimetype"] or "", raw)


def plain(value: Any) -> Any:
    """Lazy translations and kinds of `str` as `str`, anything else untouched."""
    if isinstance(value, Promise):
        value = str(value)
    return str.__str__(value) if isinstance(value, str) else value


def storable(text: str) -> str:
    """`text` as every database takes it: PostgreSQL refuses NUL, and all of them lone surrogates."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def encode(value: Any, name: str) -> Any:
    """`value` in JSON's types; what JSON lacks becomes {"$": kind, "v": …}."""
    value = plain(value)
    match value:
        case None | bool() | int() | str():
            return value
        case float() if value - value == 0:  # neither infinite nor NaN
            return value
        case bytes():
            return {"$": "bytes", "v": value.hex()}
        case datetime():
            return {"$": "datetime", "v": value.isoformat()}
        case date():
            return {"$": "date", "v": value.isoformat()}
        case Mapping():
            if not all(isinstance(key, str | Promise) for key in value):
                raise UnstorableMessage(f"{name} has a key that is not a text.")
            pairs = {plain(key): encode(item, name) for key, item in value.items()}
            return {"$": "dict", "v": pairs} if "$" in pairs else pairs
        case list() | tuple() | set() | frozenset():
            return [encode(item, name) for item in value]
    raise UnstorableMessage(f"{name} holds {type(value).__name__}, which can't be recorded: give plain data.")


def decode(value: Any, columns: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [decode(item, columns) for item in value]
    if not isinstance(value, dict):
        return value
    if "$" not in value:
        return {key: decode(item, columns) for key, item in value.items()}
    match value["$"], value["v"]:
        case "column", name:
            return columns[name]
        case "bytes", text:
            return bytes.fromhex(text)
        case "datetime", text:
            return datetime.fromisoformat(text)
        case "date", text:
            return date.fromisoformat(text)
        case "dict", pairs:
            return {key: decode(item, columns) for key, item in pairs.items()}
    raise ValueError(f"Unknown marker {value['$']!r} in a stored payload")
