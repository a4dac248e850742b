"""Proof in a few letters: with which templates an email was written, and what was handed over for it."""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from django.template import Template, TemplateDoesNotExist
from django.template.loader import get_template
from django.template.loader_tags import ExtendsNode, IncludeNode
from django.utils.crypto import constant_time_compare, salted_hmac

from emails.kinds import EmailKind
from emails.models import EmailAttachment, EmailLog

_known: "WeakKeyDictionary[Template, str]" = WeakKeyDictionary()


def version(kind: EmailKind) -> str:
    """Twelve hexadecimal digits that change whenever a template of the kind does, or one that it is built on.

    "" where there are none. Only templates that are named by constants are followed, as all of ours are.
    """
    try:
        texts = [of_template(template(f"{kind.templates}/{kind.key}.{end}")) for end in ("txt", "html")]
    except TemplateDoesNotExist:
        return ""
    return hashlib.sha256("".join(texts).encode()).hexdigest()[:12]


def template(name: str) -> Template:
    found: Template = get_template(name).template  # type: ignore[attr-defined]
    return found


def of_template(one: Template) -> str:
    """A digest of all its sources, remembered as long as the template is: Django loads a changed one anew."""
    if one not in _known:
        _known[one] = hashlib.sha256("\x00".join(sources(one)).encode()).hexdigest()
    return _known[one]


def sources(one: Template) -> Iterator[str]:
    yield str(one.source)
    for node in one.nodelist.get_nodes_by_type((ExtendsNode, IncludeNode)):  # type: ignore[arg-type]
        named: Any = node.parent_name if isinstance(node, ExtendsNode) else node.template  # type: ignore[attr-defined]
        name = named.var
        if isinstance(name, str):
            yield from sources(template(name))


def is_of(digest: str, email: EmailLog, attachments: Collection[EmailAttachment]) -> bool:
    """Whether the digest was made of this content, under the site's key or one before it."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return any(constant_time_compare(of_content(email, attachments, key), digest) for key in keys)


def of_content(email: EmailLog, attachments: Iterable[EmailAttachment], key: str = "") -> str:
    """HMAC-SHA-256 of what a row hands over, in hexadecimal digits: what is secret in it stands as its placeholder.

    Keyed, since a short code or an anonymised name could else be guessed from it. Each piece goes in with its length
    before it, so that nothing can move from one to the next.
    """
    found = keyed(key or settings.SECRET_KEY).copy()
    pieces = [email.payload.encode(), email.text.encode(), email.html.encode()]
    for piece in [*pieces, *(bytes(attachment.content) for attachment in attachments)]:
        found.update(f"{len(piece)}:".encode())
        found.update(piece)
    return str(found.hexdigest())


@lru_cache(maxsize=4)
def keyed(key: str) -> Any:
    """The HMAC of nothing yet, to be copied: a quarter of the digest of a short message is its key."""
    return salted_hmac("emails.digests", b"", secret=key, algorithm="sha256")
