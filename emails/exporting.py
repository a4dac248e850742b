"""The log as CSV, row by row however long it is; without bodies, and without anything a spreadsheet would compute."""

import csv
import re
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.utils import timezone

from emails.models import EmailLog, EmailRecipient

# What a spreadsheet would take for a formula (OWASP, "CSV Injection"), full-width signs included; also behind what it
# may take for the end of a cell. An apostrophe before it makes it text, and is taken away again by an import.
FORMULA = re.compile(r"(^|[;,|\t\r\n])([ \u00a0\"']*)([=+\-@\t\r\n＝＋－＠])")
ESCAPED = re.compile(r"(^|[;,|\t\r\n])([ \u00a0\"']*)'([=+\-@\t\r\n＝＋－＠])")
MOST = 100_000  # Messages in one file.
COLUMNS = (
    *("id", "ref", "created", "kind", "status", "to", "subject", "person", "caused_by", "language"),
    *("provider", "message_id", "attempts", "sent", "error"),
)


def escaped(value: str) -> str:
    """The text as no spreadsheet computes it."""
    return FORMULA.sub(r"\1\2'\3", value)


def unescaped(value: str) -> str:
    return ESCAPED.sub(r"\1\2\3", value)


class Echo:
    """A file whose lines are given back as they are written."""

    def write(self, line: str) -> str:
        return line


def lines(emails: QuerySet[EmailLog]) -> Iterator[str]:
    """The file, line by line, with the mark without which Excel takes UTF-8 for Latin-1."""
    writer = csv.writer(Echo(), quoting=csv.QUOTE_ALL)
    yield "\ufeff" + str(writer.writerow(COLUMNS))
    to = Prefetch("recipients", EmailRecipient.objects.only("email_id", "address"))
    every: Any = emails.defer(None)
    rows: Iterable[EmailLog] = every.without_bodies().prefetch_related(to)[:MOST].iterator(1000)
    for email in rows:
        yield str(writer.writerow([escaped(cell) for cell in cells(email)]))


def cells(email: EmailLog) -> list[str]:
    addresses = ", ".join(recipient.address for recipient in email.recipients.all())
    found: list[Any] = [
        *(email.pk, email.ref, moment(email.created_at), email.kind or "other", email.status, addresses),
        *(email.subject, email.user_label, email.actor_label, email.language),
        *(email.provider, email.message_id, email.attempts, moment(email.sent_at), email.error),
    ]
    return [str(value) for value in found]


def moment(when: Any) -> str:
    return timezone.localtime(when).isoformat(timespec="seconds") if when else ""
