"""A message whose MIME form is the same at every rendering: Date, Message-ID and boundaries come from the row."""

from collections.abc import Iterator
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from django.core.mail import EmailMessage

from emails.marks import domain_of


def freeze(message: EmailMessage, ref: str, written_at: datetime) -> EmailMessage:
    """Make `message` render to the same bytes each time; returns it.

    Providers that de-duplicate by a key want identical bytes, and a Date is when the message was written (RFC 5322,
    section 3.6.1), not when it was tried again. Headers that the caller gave stay as they are.
    """
    render = message.message
    given = {name.lower() for name in message.extra_headers}

    def rendered(*args: Any, **kwargs: Any) -> Any:  # Not for the providers that take JSON.
        made = render(*args, **kwargs)
        message_id = f"<{ref}@{domain_of(str(message.from_email))}>"
        frozen = {"Date": format_datetime(written_at), "Message-ID": message_id}
        for name, value in frozen.items():
            if name.lower() not in given:
                del made[name]
                made[name] = value
        for number, part in enumerate(multiparts(made)):
            part.set_boundary(f"=={ref}-{number}==")
        return made

    message.message = rendered  # type: ignore[method-assign]
    return message


def multiparts(part: Any) -> Iterator[Any]:
    """The multiparts of a message, outermost first; what is attached as a message of its own stays as it is."""
    if part.get_content_maintype() == "multipart":
        yield part
        for inner in part.get_payload():
            yield from multiparts(inner)
