"""What a message says, as tabs: HTML, text, source and headers are links, and so are width, darkness and images."""

import json
import re
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy

from emails.admin.preview import asks_for_images
from emails.models import EmailLog

TABS = {
    "html": gettext_lazy("HTML"),
    "text": gettext_lazy("Text"),
    "source": gettext_lazy("Source"),
    "headers": gettext_lazy("Headers"),
}
WIDTHS = {"": gettext_lazy("Full width"), "600": gettext_lazy("600 px"), "360": gettext_lazy("Phone")}
LOOKS = {"": gettext_lazy("As the reader’s device"), "light": gettext_lazy("Light"), "dark": gettext_lazy("Dark")}
# No two of its parts can take the same blanks, or a long row of them would take hours.
REMOTE = re.compile(
    r"""(?:src|srcset|background)\s*+=\s*+["']?+\s*+(?:https?:)?//|url\(\s*+["']?+\s*+(?:https?:)?//""", re.I
)
MOST = 256 * 1024  # Characters of text or source on the page; the file has all.


@dataclass(frozen=True)
class Choice:
    label: Any
    href: str
    chosen: bool


def body(email: EmailLog, request: HttpRequest) -> dict[str, Any]:
    """The template's context for the part that shows the content, as the address asks for it."""
    tabs = [name for name in TABS if name != "html" or email.html]
    tabs = [name for name in tabs if name != "source" or email.html]
    asked = {name: request.GET.get(name, "") for name in ("show", "width", "look")}
    show = asked["show"] if asked["show"] in tabs else tabs[0]
    width = asked["width"] if asked["width"] in WIDTHS else ""
    look = asked["look"] if asked["look"] in LOOKS else ""
    images = asks_for_images(request)
    now = {"show": show, "width": width, "look": look, "images": "on" if images else ""}

    def choices(name: str, labels: dict[str, Any], chosen: str) -> list[Choice]:
        return [Choice(label, link({**now, name: value}), value == chosen) for value, label in labels.items()]

    found = {"text": email.text, "source": email.html}.get(show, "")
    frame = {name: value for name, value in (("look", look), ("images", now["images"])) if value}
    return {
        "show": show,
        "tabs": choices("show", {name: TABS[name] for name in tabs}, show),
        "widths": choices("width", WIDTHS, width),
        "looks": choices("look", LOOKS, look),
        "images": Choice("", link({**now, "images": "" if images else "on"}), images),
        "has_images": show == "html" and REMOTE.search(email.html[:MOST]) is not None,
        "width": width or "full",
        "frame": reverse("admin:emails_emaillog_preview", args=[email.pk]) + ("?" + urlencode(frame) if frame else ""),
        "found": found[:MOST],
        "too_long": len(found) > MOST,
        "headers": headers(email) if show == "headers" else [],
    }


def link(values: dict[str, str]) -> str:
    """To this page with these choices, at the place where the content is."""
    return "?" + urlencode({name: value for name, value in values.items() if value}) + "#content-of-email"


def headers(email: EmailLog) -> list[tuple[str, str]]:
    """The message's headers as they were given to send(); the provider adds its own."""
    if not email.payload:
        return []
    data = json.loads(email.payload)
    lists = [(name.title(), ", ".join(data[key])) for name, key in (("to", "to"), ("cc", "cc"), ("bcc", "bcc"))]
    named = [("Subject", data["subject"]), ("From", data["from_email"]), *lists]
    named += [("Reply-To", ", ".join(data["reply_to"])), *((name, value) for name, value in data["headers"])]
    named += [(f"Anymail {name}", json.dumps(value, ensure_ascii=False)) for name, value in data["anymail"].items()]
    return [(name, value) for name, value in named if value]
