"""What staff have taken the tick from: it is recorded as not sent. Who did so stands beside it in the row."""

from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext

from django.utils.translation import gettext_noop

from emails.cause import suppress_emails

UNTICKED = gettext_noop("Unticked before it was saved.")


def unticking(kinds: Collection[str]) -> AbstractContextManager[None]:
    """For a `with` block: emails of `kinds` are recorded as skipped."""
    return suppress_emails(UNTICKED, kinds=kinds) if kinds else nullcontext()
