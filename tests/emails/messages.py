"""Messages of every shape, and what Anymail's own payload builders make of them."""

import random
from datetime import UTC, datetime
from email.mime.image import MIMEImage
from functools import cache
from typing import Any

import django
from anymail.message import AnymailMessage
from django.core.mail import EmailMessage
from django.utils.module_loading import import_string
from hypothesis import strategies as st

from emails.providers import PROVIDERS

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360000002000001"
    "00ffff03000006000557bfabd40000000049454e44ae426082"
)
ANYMAIL = {
    **{name: "x" for provider in PROVIDERS.values() for name in provider.required if provider.prefix},
    "POSTAL_API_URL": "http://127.0.0.1/",
    "UNISENDER_GO_API_URL": "http://127.0.0.1/",
    "MAILGUN_SENDER_DOMAIN": "example.com",
    # Otherwise random on every call, for the original and the rebuilt message alike.
    "SENDGRID_GENERATE_MESSAGE_ID": False,
    "UNISENDER_GO_GENERATE_MESSAGE_ID": False,
    "POSTMARK_GENERATE_MESSAGE_ID": False,
    "AMAZON_SES_CLIENT_PARAMS": {"region_name": "eu-central-1"},
}
ESPS = [key for key, provider in PROVIDERS.items() if provider.prefix]

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=30)
bodies = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=200)
addresses = st.sampled_from(
    [
        "ada@example.com",
        "Ada Lovelace <ada@example.com>",
        '"O\'Brien, & Sons" <ob@example.com>',
        "Zoë <zoe@exämple.com>",
    ]
)
metadata = st.dictionaries(st.sampled_from(["order", "x-1", "größe"]), st.one_of(words, st.integers(), st.booleans()))
optional: dict[str, st.SearchStrategy[Any]] = {
    "tags": st.lists(words.filter(bool), max_size=2),
    "metadata": metadata,
    "send_at": st.sampled_from(
        [datetime(2027, 1, 2, 3, 4, 5, 678, tzinfo=UTC), datetime(2027, 1, 2).date(), 1_800_000_000]
    ),
    "track_opens": st.booleans(),
    "track_clicks": st.booleans(),
    "template_id": st.sampled_from(["welcome", "12345"]),
    "merge_data": st.just({"ada@example.com": {"name": "Ada", "$": "dollar"}}),
    "merge_global_data": st.just({"site": "Backoffice"}),
    "merge_metadata": st.just({"ada@example.com": {"n": 1}}),
    "merge_headers": st.just({"ada@example.com": {"List-Unsubscribe": "<https://example.com/u>"}}),
    "esp_extra": st.just({"extra": {"deep": [1, 2.5, None, "x"]}}),
    "envelope_sender": st.just("bounces@example.com"),
}


@st.composite
def messages(draw: Any) -> AnymailMessage:
    used = draw(st.sets(st.sampled_from(sorted(optional)), max_size=3))
    message = AnymailMessage(
        subject=draw(words),
        body=draw(bodies),
        from_email=draw(addresses),
        to=draw(st.lists(addresses, min_size=1, max_size=2)),
        cc=draw(st.lists(addresses, max_size=1)),
        bcc=draw(st.lists(addresses, max_size=1)),
        reply_to=draw(st.lists(addresses, max_size=1)),
        headers={
            "Date": "Mon, 23 Nov 2026 07:00:00 +0000",
            "Message-ID": "<fixed@example.com>",
            **draw(st.dictionaries(st.sampled_from(["X-B", "X-A", "List-Id"]), words.map(str.strip))),
        },
        **{name: draw(optional[name]) for name in sorted(used)},
    )
    if draw(st.booleans()):
        message.content_subtype = "html"
    for _ in range(draw(st.integers(0, 2))):
        message.attach_alternative(draw(bodies), draw(st.sampled_from(["text/html", "text/html", "text/x-amp-html"])))
    return message


attachments = st.lists(
    st.sampled_from(["text", "same name", "bytes", "nameless", "calendar", "inline image", "mime part", "message"]),
    max_size=3,
)


def attach_image(message: AnymailMessage) -> None:
    random.seed(7)
    message.attach_inline_image(PNG, filename="dot.png", subtype="png", domain="inline")


def attach_mime(message: AnymailMessage) -> None:
    if django.VERSION < (6, 0):
        part = MIMEImage(PNG, "png")
        part.add_header("Content-Disposition", "attachment", filename="größe.png")
        message.attach(part)
    else:
        attach_image(message)


def attach_message(message: AnymailMessage) -> None:
    headers = {"Date": "Mon, 23 Nov 2026 07:00:00 +0000", "Message-ID": "<child@example.com>"}
    child = EmailMessage("Child é", "Body\nFrom here", "a@example.com", ["b@example.com"], headers=headers)
    message.attach("child.eml", child.message().as_bytes(), "message/rfc822")


ATTACHMENTS: dict[str, Any] = {
    "text": lambda message: message.attach("a.txt", "text é\n", "text/plain"),
    "same name": lambda message: message.attach("a.txt", "another", "text/plain"),
    "bytes": lambda message: message.attach("b.pdf", b"%PDF\x00\xff\r\n", "application/pdf"),
    "nameless": lambda message: message.attach(None, b"\x00\x01", "application/octet-stream"),
    "calendar": lambda message: message.attach("c.ics", "BEGIN:VCALENDAR\r\nEND:VCALENDAR", "text/calendar"),
    "inline image": attach_image,
    "mime part": attach_mime,
    "message": attach_message,
}


@cache
def backend_of(key: str) -> Any:
    alias = {"alias": key} if django.VERSION >= (6, 1) else {}
    return import_string(PROVIDERS[key].backend)(**alias)


def request_of(key: str, message: EmailMessage) -> Any:
    """What Anymail would send to the ESP for `message`, or the error with which it refuses."""
    backend = backend_of(key)
    random.seed(42)  # MIME boundaries
    try:
        payload = backend.build_message_payload(message, backend.send_defaults)
        if key == "amazon_ses":
            payload.finalize_payload()
            return payload.api_name, payload.params
        return payload.get_request_params(backend.api_url)
    except Exception as error:
        return type(error).__name__, str(error).splitlines()[0]


def mime_of(message: EmailMessage) -> Any:
    """The bytes that Django's SMTP backend would send, or the error with which it refuses."""
    random.seed(42)
    try:
        return message.message().as_bytes()
    except Exception as error:
        return type(error).__name__, str(error)
