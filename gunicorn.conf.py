"""Read by `gunicorn backoffice.wsgi` from this folder; GUNICORN_CMD_ARGS overrides any of it."""

import multiprocessing

bind = "0.0.0.0:8000"
workers = multiprocessing.cpu_count() * 2 + 1
# Loaded once before forking: a configuration error ends the start with its one line instead of a loop of restarts.
preload_app = True
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(b)s %(M)sms'  # No query: it may hold an address.
