"""Read by `gunicorn backoffice.wsgi` from this folder; GUNICORN_CMD_ARGS overrides any of it."""

import multiprocessing
from typing import Any

from gunicorn.glogging import Logger

from backoffice.masking import masking_atoms


class MaskingLogger(Logger):  # type: ignore[misc]
    """An access log without the tokens of mailed links."""

    def atoms(self, *args: Any) -> dict[str, Any]:
        return masking_atoms(super().atoms(*args))


logger_class = MaskingLogger

bind = "0.0.0.0:8000"
workers = multiprocessing.cpu_count() * 2 + 1
# Loaded once before forking: a configuration error ends the start with its one line instead of a loop of restarts.
preload_app = True
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(b)s %(M)sms'  # No query: it may hold an address.
