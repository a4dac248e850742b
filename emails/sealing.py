"""Ready-made secrets in mail of other code: taken out of what is recorded, sealed until it is sent, then forgotten."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from emails.payload import Payload

# The secret is the group. What a link is confirmed by stands in its path, or under a name that says so in its query.
NAMES = ("token", "key", "code", "otp", "sesame", "signature", "sig", "secret", "auth", "magic")
VALUE = r"=([^\s\"'<>&\\]{12,})"
IN_QUERY = rf"[?&;#](?:[a-z]{{1,20}}[_-])?(?:{'|'.join(NAMES)}){VALUE}"
VALUED = re.compile(VALUE)
PATTERNS = (
    r"/[0-9A-Za-z_=-]{1,40}/([0-9a-z]{1,13}-[0-9a-f]{20,64})\b",  # Django's PasswordResetTokenGenerator
    r"/[0-9A-Za-z]{1,20}-([0-9a-z]{1,13}-[0-9a-f]{20,64})\b",  # the same, as django-allauth writes it
    IN_QUERY,
    r"/(?:confirm|verify|activate|activation|magic|invite|invitations?|reset|token)[\w-]*/([0-9A-Za-z_:=.-]{20,})",
    r"(eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,})",  # a JSON Web Token (RFC 7519)
)


class CannotOpen(Exception):
    """None of the keys in use has sealed this."""


def seal(payload: Payload, subject: str) -> tuple[Payload, str, str]:
    """Payload and subject with a placeholder in place of each secret that a pattern finds, and the secrets, sealed.

    `data` holds the subject as well, for the provider; `subject` is that of the row.
    """
    texts = (payload.text, payload.html, payload.data)
    secrets = sorted({secret for text in texts for secret in found(text)}, key=len)
    secrets = [secret for secret in secrets if "⟦" not in secret]
    if not secrets:
        return payload, "", subject
    # The longest first: one may be a part of another.
    placeholders = {f"⟦secret:{number}⟧": secret for number, secret in enumerate(reversed(secrets), 1)}
    text, html, data = (masked(text, placeholders) for text in texts)
    sealed = locks().encrypt(json.dumps(placeholders).encode()).decode()
    return replace(payload, text=text, html=html, data=data), sealed, masked(subject, placeholders)


def found(text: str) -> Iterator[str]:
    for pattern in patterns():
        # Most of the time went into looking behind every "#" and ";" of a style for a name that nothing follows.
        if pattern.pattern != IN_QUERY or VALUED.search(text):
            yield from pattern.findall(text)


def masked(text: str, placeholders: dict[str, str]) -> str:
    for placeholder, secret in placeholders.items():
        text = text.replace(secret, placeholder)
    return text


def opened(sealed: str) -> dict[str, str]:
    """What fills which placeholder. Raises CannotOpen where SECRET_KEY is another one by now."""
    if not sealed:
        return {}
    try:
        secrets: dict[str, str] = json.loads(locks().decrypt(sealed.encode()))
    except InvalidToken as error:
        raise CannotOpen from error
    return secrets


def locks() -> MultiFernet:
    return keyed((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@cache
def keyed(keys: tuple[str, ...]) -> MultiFernet:
    derived = [hashlib.sha256(b"emails.sealing:" + key.encode()).digest() for key in keys]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in derived])


def patterns() -> list["re.Pattern[str]"]:
    return compiled((*PATTERNS, *settings.EMAILS["SECRET_PATTERNS"]))


@cache
def compiled(texts: tuple[str, ...]) -> list["re.Pattern[str]"]:
    return [re.compile(text) for text in texts]
