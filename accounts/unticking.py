"""What staff have taken the tick from: it is recorded as not sent, with who did so."""

from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext

from emails.cause import suppress_emails


def unticking(actor_label: str, kinds: Collection[str]) -> AbstractContextManager[None]:
    """For a `with` block: emails of `kinds` are recorded as skipped."""
    return suppress_emails(f"Unticked by {actor_label}.", kinds=kinds) if kinds else nullcontext()
