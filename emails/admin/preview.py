"""An email's HTML as a document of its own that can do nothing: the browser's sandbox is the boundary, not a filter."""

import base64
import re
from email import message_from_bytes

from django.http import HttpRequest, HttpResponse

from emails.models import EmailLog

# `sandbox` also holds where the URL is opened without the frame: no script, no form, no origin of ours.
POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src {images}; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
INERT, REMOTE = "data:", "data: https: http:"
SCHEME = re.compile(r"\(\s*prefers-color-scheme\s*:\s*(dark|light)\s*\)", re.IGNORECASE)
ATTACHED = re.compile(r"""cid:([^"'\s)>]+)""", re.IGNORECASE)
PICTURES = {"image/png", "image/jpeg", "image/gif", "image/webp"}
MOST = 8_000_000  # Letters of all the pictures that are put into the document, however often each is named.


def framed(email: EmailLog, look: str = "", *, images: bool = False) -> HttpResponse:
    """The response for the preview frame, which alone may embed it.

    `look` is "light" or "dark" for what a reader's device of that kind shows, whatever this one is. Remote images are
    fetched with `images` alone: to fetch one tells its sender who looks, from where.
    """
    return HttpResponse(
        seen_in(with_pictures(email), look),
        headers={
            "Content-Security-Policy": POLICY.format(images=REMOTE if images else INERT),
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "SAMEORIGIN",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        },
    )


def asks_for_images(request: HttpRequest) -> bool:
    """Whether the reader does: a link on somebody else's page does not ask in their name."""
    return request.GET.get("images") == "on" and request.headers.get("Sec-Fetch-Site") != "cross-site"


def seen_in(html: str, look: str) -> str:
    """The document as a device in light or dark shows it: a frame can't be told otherwise which one it is on."""
    if look not in {"light", "dark"}:
        return html
    decided = SCHEME.sub(lambda found: "(min-width: 0)" if found[1].lower() == look else "(max-width: 0)", html)
    return f"{decided}<style>:root {{ color-scheme: {look} !important }}</style>"


def with_pictures(email: EmailLog) -> str:
    """The HTML with the pictures that came with it, which it names by their Content-ID (RFC 2392)."""
    named = set(ATTACHED.findall(email.html))
    if not named:
        return email.html
    found: dict[str, str] = {}
    for attachment in email.attachments.filter(size__lte=MOST // 2):
        part = message_from_bytes(bytes(attachment.content))
        name = str(part.get("Content-ID", "")).strip("<> ")
        content = part.get_payload(decode=True) if name in named and part.get_content_type() in PICTURES else None
        if isinstance(content, bytes):
            found[name] = f"data:{part.get_content_type()};base64,{base64.b64encode(content).decode()}"
    left = MOST

    def picture(one: re.Match[str]) -> str:
        nonlocal left
        put = found.get(one[1], "")
        left -= len(put)
        return put if put and left > 0 else one[0]

    return ATTACHED.sub(picture, email.html)
