"""A kind of email as a message: subject, text and HTML in the person's language, CSS inlined, links from SITE_URL."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from email.headerregistry import Address
from typing import Any

import css_inline
from anymail.message import AnymailMessage
from django.conf import settings
from django.template.loader import render_to_string
from django.utils import timezone, translation

from emails.digests import version
from emails.facts import Facts
from emails.kinds import EmailKind

# Nothing is fetched from anywhere, and the media queries (dark mode, phones) stay.
INLINER = css_inline.CSSInliner(load_remote_stylesheets=False, keep_style_tags=True, keep_at_rules=True)
SUBJECT_LENGTH = 200
HEADERS = {
    "Auto-Submitted": "auto-generated",  # RFC 3834, section 5.2
    "X-Auto-Response-Suppress": "All",  # Exchange's word for the same
}


def render(
    kind: EmailKind, *, to: str, name: str = "", language: str = "", context: Mapping[str, Any], facts: Facts
) -> AnymailMessage:
    """The message of `kind` to one address; the caller sends it.

    `context` holds plain data: it is escaped in HTML and left as it is in the text, whose first line is the subject.
    Raises Django's template errors for a broken template and ValueError for an address that can't be one.
    """
    language = language if translation.check_for_language(language) else settings.LANGUAGE_CODE
    # A member of staff's own zone is none of the person's business.
    with translation.override(language), timezone.override(None):
        bidi = translation.get_language_bidi()
        values = {
            **context,
            "language": language,
            "direction": "rtl" if bidi else "ltr",
            "site_url": settings.SITE_URL,
            "kind": kind,
        }
        subject, text = split_subject(render_to_string(f"{kind.templates}/{kind.key}.txt", values))
        html = INLINER.inline(render_to_string(f"{kind.templates}/{kind.key}.html", {**values, "subject": subject}))
    message = AnymailMessage(subject=subject, body=text, to=[addressee(name, to)], headers=dict(HEADERS))
    message.attach_alternative(html, "text/html")
    message.facts = replace(facts, template=version(kind))  # type: ignore[attr-defined]
    return message


def split_subject(rendered: str) -> tuple[str, str]:
    """Line 1 is the subject, the rest the text."""
    first, _, rest = rendered.strip().partition("\n")
    return one_line(first)[:SUBJECT_LENGTH], re.sub(r"\n{3,}", "\n\n", rest.strip()) + "\n"


def one_line(text: str) -> str:
    """`text` without line breaks, control and direction-changing characters, for subjects and names.

    Django's mail refuses line breaks, Anymail's HTTP backends pass them on as headers.
    """
    kept = (c if unicodedata.category(c) not in {"Cc", "Cs", "Zl", "Zp"} else " " for c in text if c not in BIDI)
    # "=?" begins an encoded word (RFC 2047), in which a line break could hide.
    # Nobody's name is a place for a secret (emails/minting.py).
    return " ".join("".join(kept).replace("=?", "").replace("⟦", "[").replace("⟧", "]").split())


BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def addressee(name: str, address: str) -> str:
    """A To header's value. The name is dropped where it would make the address longer than SES takes (320 bytes)."""
    local, _, domain = address.rpartition("@")
    if '"' in local or not address.isascii():  # Python's parser knows the rules, and is slow.
        parsed = Address(addr_spec=address)
        local, domain = parsed.username, parsed.domain
    full = str(Address(one_line(name), local, domain))
    return full if len(full.encode()) <= 320 else address
