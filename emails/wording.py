"""What is kept of an error's words: where it came from and what the provider said, never whose mail or which key."""

import re
import traceback
from smtplib import SMTPRecipientsRefused, SMTPResponseException
from typing import Any

from anymail.exceptions import AnymailInvalidAddress, AnymailUnsupportedFeature
from django.core.exceptions import ImproperlyConfigured

from emails.payload import storable


def frames(error: BaseException) -> str:
    """Where an error came from, for a log line; without its words, which may quote an address, a key or a row."""
    return f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}"


def explain(error: Exception) -> str:
    """The provider's words without addresses and keys; never the whole exception, which quotes the request."""
    response = getattr(error, "response", None)
    if isinstance(error, SMTPRecipientsRefused):
        words = "; ".join(f"{code} {as_text(said)}" for code, said in error.recipients.values())
    elif isinstance(error, SMTPResponseException):
        words = f"{error.smtp_code} {as_text(error.smtp_error)}"
    elif response is not None and hasattr(response, "text"):
        words = f"HTTP {response.status_code}: {response.text}"
    elif isinstance(response, dict):  # Amazon SES
        words = f"{response.get('Error', {}).get('Code', '')}: {response.get('Error', {}).get('Message', '')}"
    elif isinstance(error, OSError) and error.__cause__ is None and error.strerror:
        words = error.strerror
    elif isinstance(error, AnymailInvalidAddress | AnymailUnsupportedFeature):
        words = str(error.args[0]) if error.args else ""
    elif isinstance(error, ValueError | ImproperlyConfigured) and not hasattr(error, "payload"):
        words = str(error)
    elif isinstance(error.__cause__, Exception):
        words = type(error.__cause__).__name__
    else:
        words = str(error.args[0]) if error.args else ""
    return scrub(words)


def as_text(said: Any) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)


def scrub(words: str) -> str:
    """The first 500 characters, addresses and anything that looks like a key masked."""
    words = storable(words[:2000])  # Strangers write some of it, and the patterns take their time.
    words = re.sub(r"[^\s@\"'<>:,;()\[\]{}]+@[\w.-]+", "•••@•••", words)
    words = re.sub(r"[A-Za-z0-9_+/=-]{24,}", "••••", words)
    return " ".join(words.split())[:500]
