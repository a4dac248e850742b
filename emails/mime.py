"""MIME parts (inline images, ready-made attachments) as bytes and back, for both of Django's kinds of part."""

from email import policy
from email.generator import BytesGenerator
from email.message import Message, MIMEPart
from email.mime.base import MIMEBase
from email.parser import BytesParser
from io import BytesIO
from typing import Any

import django


class StoredMIMEBase(MIMEBase):
    """A MIMEBase that the parser can create; Django 5.2 attaches no other class."""

    def __init__(self, policy: Any = policy.compat32) -> None:
        Message.__init__(self, policy=policy)


def part_to_bytes(part: Any) -> bytes:
    """The part's bytes, headers unfolded and lines that start with "From " left alone."""
    buffer = BytesIO()
    BytesGenerator(buffer, mangle_from_=False, maxheaderlen=0).flatten(part)
    return buffer.getvalue()


def part_from_bytes(content: bytes) -> Any:
    """The part that `part_to_bytes` stored; a MIMEBase stored under Django 5.2 comes back as a MIMEPart on 6."""
    if django.VERSION >= (6, 0):
        return BytesParser(MIMEPart, policy=policy.default).parsebytes(content)  # type: ignore[arg-type]
    return BytesParser(StoredMIMEBase).parsebytes(content)  # type: ignore[type-var]
