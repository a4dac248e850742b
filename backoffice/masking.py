"""Links that were mailed hold a token in their path, and paths get into log lines and error reports: masked there."""

import logging
import re
from typing import Any

from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter

LINK = re.compile(r"(/accounts/(?:reset|invitation)/[^/\s]+/)(?!set-password)[\w-]{3,}")
TOKEN = re.compile(r"\b[0-9a-z]{6,8}-[0-9a-f]{32}\b")  # Wherever it stands: in a frame's variables, behind a blank.


def masked(text: str) -> str:
    return TOKEN.sub("•••", LINK.sub(r"\1•••", text))


class MaskingFilter(logging.Filter):
    """For the loggers that write a request's path: in the message, or among its arguments."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = masked(str(record.msg))
        if isinstance(record.args, tuple):
            record.args = tuple(one if isinstance(one, int | float) else masked(str(one)) for one in record.args)
        return True


class MaskingReporter(ExceptionReporter):
    """The report of an error, by email to ADMINS or on the page of DEBUG."""

    def get_traceback_text(self) -> SafeString:
        return SafeString(masked(super().get_traceback_text()))

    def get_traceback_html(self) -> SafeString:
        return SafeString(masked(super().get_traceback_html()))


def masking_atoms(atoms: dict[str, Any]) -> dict[str, Any]:
    """What gunicorn's access log is written of, with its texts masked."""
    return {name: masked(value) if isinstance(value, str) else value for name, value in atoms.items()}
