#!/usr/bin/env python3
import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit("Django is not installed here. Run `make run`, or use .venv/bin/python manage.py.")
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.db import OperationalError

    try:
        settings.configured or settings.DEBUG  # noqa: B018
    except ImproperlyConfigured as error:
        sys.exit(f"Configuration error: {error}")
    try:
        execute_from_command_line(sys.argv)
    except OperationalError as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        sys.exit(f"The database does not do as it is told: {reason}. Check DATABASE_URL, and that its server runs.")


if __name__ == "__main__":
    main()
