"""Web servers and Celery heed no checks; one that would take forged reports, or lose mail, must not start."""

import sys

from django.core import checks


def refuse_errors() -> None:
    """End the process with one line where a check of email finds an error; Django has to be set up."""
    for found in checks.run_checks(tags=["emails"]):
        if found.is_serious() and not found.is_silenced():
            sys.exit(f"Configuration error: {found.id}: {found.msg} {found.hint}")
