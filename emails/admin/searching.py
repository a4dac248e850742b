"""What staff type into the log's search box: words, and keys that say where to look."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emails.addresses import bare
from emails.kinds import KINDS
from emails.models import NEEDS_ATTENTION, Delivery, EmailLog, EmailRecipient, State
from emails.models.state import UNSETTLED
from emails.models.status import among, has_status

HELP = gettext_lazy(
    "Words of the subject or of a person’s name, the beginning of an address; a whole address or a message id in <…> "
    "is found fastest. Keys: to: subject: status: kind: id: after: before: (as 2026-11-30). A - before any of them "
    "excludes. Words are looked for among the newest 200,000, or since the day of after:. The content is not searched."
)
TERM = re.compile(r'(-?)(?:([a-z_]+):)?(?:"([^"]*)"|(\S+))', re.IGNORECASE)
WORDY = 200_000  # Words are looked for among so many messages at most, the newest: no index holds every word.
DAYS = {"after": "before", "before": "after"}  # And what each is the contrary of.
TERMS = 8  # At most: each is a condition of its own for the database.
NAMED = 3_000  # Primary keys in a condition: eight of them stay below SQLite's 32,766 parameters.
OTHER = "other"  # The kind of mail that no kind made.


@dataclass
class Search:
    """What was asked for: conditions, what was not understood, and whether texts have to be read for it."""

    conditions: list[Q] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    reads: bool = False
    since: datetime | None = None
    until: datetime | None = None

    def apply(self, emails: QuerySet[EmailLog]) -> QuerySet[EmailLog]:
        for condition in self.conditions:
            emails = emails.filter(condition)
        if self.reads and self.since is None:
            emails = emails.filter(pk__gt=self.newest - WORDY)
        return emails

    @cached_property
    def newest(self) -> int:
        """The last message that words are looked for in."""
        older = EmailLog.objects.filter(created_at__lt=self.until) if self.until else EmailLog.objects.all()
        return older.order_by("-created_at" if self.until else "-pk").values_list("pk", flat=True).first() or 0

    def begins(self, word: str) -> Q:
        """Messages to an address that begins so: found among those that are read anyway, all of them at once."""
        self.reads = True
        among = Q(email__created_at__gte=self.since) if self.since else Q(email_id__gt=self.newest - WORDY)
        found = EmailRecipient.objects.order_by().filter(among, address__startswith=word.lower())
        return Q(pk__in=found.values("email"))


def parse(text: str) -> Search:
    """Understand a search; what is not understood is left out, with words for whoever typed it."""
    search = Search()
    terms = list(dict.fromkeys(TERM.findall(SPACED.sub(r"\1", text.strip()))))
    if len(terms) > TERMS:
        search.problems.append(_("Only the first %d words and keys are looked for.") % TERMS)
    # Days first: they say which messages are read for words.
    for minus, key, quoted, plain in sorted(terms[:TERMS], key=lambda term: term[1].lower() not in DAYS):
        word, key = quoted or plain, key.lower()
        if minus and key in DAYS:  # Not after it is before it, and the other way round.
            minus, key = "", DAYS[key]
        if not word or word == "-":
            continue
        if not key or key not in KEYS:
            if key and not plain.startswith("//"):  # https://… is no key.
                known = ", ".join(f"{name}:" for name in KEYS)
                search.problems.append(
                    _("There is no key “%(key)s:”. Keys are %(known)s.") % {"key": key, "known": known}
                )
            word, key = f"{key}:{word}" if key else word, "words"
        found = READERS[key](search, word)
        if found is not None:
            search.conditions.append(~found if minus else found)
    return search


def sent_to(**conditions: Any) -> QuerySet[Any]:
    """The messages of such recipients, by primary key: looked up in an index first, and not row by row."""
    return EmailRecipient.objects.order_by().filter(**conditions).values("email")


def to_exactly(word: str) -> Q | None:
    """The messages to this address; None where there are none.

    Named one by one, unless they are thousands: beside a subquery, PostgreSQL would rather walk through the log in the
    order of the list until it has met a page of them.
    """
    to = sent_to(address=bare(word))
    keys = list(to.order_by("-email").values_list("email", flat=True)[: NAMED + 1])
    return Q(pk__in=to if len(keys) > NAMED else keys) if keys else None


def by_address(search: Search, word: str) -> Q:
    if "@" in word.strip("@"):
        return to_exactly(word) or Q(pk__in=())
    return search.begins(word)


def by_id(search: Search, word: str) -> Q | None:
    """By our own number, as our pages write it or without the #, our reference, or the provider's message id."""
    word = word.removeprefix("#")
    if word.isdecimal() and len(word) < 19:
        return Q(pk=int(word))
    return Q(pk__in=known_as(word))


def known_as(word: str) -> QuerySet[Any]:
    """The messages with this id, ours or a provider's. A union: of an OR, no index would be used."""
    ids = {word, word.strip("<>"), f"<{word}>"}  # Some providers' ids have the brackets, some have none.
    emails = EmailLog.objects.order_by()
    found = [emails.filter(message_id__in=ids).values("pk"), sent_to(message_id__in=ids)]
    found = [rows.exclude(message_id="") for rows in found]  # SQLite knows the indexes by these words alone.
    try:
        found.append(emails.filter(ref=UUID(word)).values("pk"))
    except ValueError:
        pass
    return found[0].union(*found[1:])


def by_subject(search: Search, word: str) -> Q:
    search.reads = True
    return Q(subject__icontains=word)


def by_status(search: Search, word: str) -> Q | None:
    """By the word of the code or by the one that staff read, in their language."""
    word = word.lower()
    if word in {"attention", _("Needs attention").lower()}:
        return NEEDS_ATTENTION
    if word in {"waiting", _("In queue").lower()}:
        return among("state", UNSETTLED)
    for value, label in [*State.choices, *((value, label) for value, label in Delivery.choices if value)]:
        if word in {value, str(label).lower()}:
            return has_status(value)
    words = ", ".join(dict.fromkeys(["attention", "waiting", *State.values, *filter(None, Delivery.values)]))
    search.problems.append(_("There is no status “%(word)s”. It is one of %(known)s.") % {"word": word, "known": words})
    return None


def by_kind(search: Search, word: str) -> Q | None:
    for key, kind in KINDS.items():
        if word.lower() in {key, str(kind.label).lower()}:
            return Q(kind=key)
    if word.lower() == OTHER:
        return Q(kind="")
    known = ", ".join([*KINDS, OTHER])
    search.problems.append(_("There is no kind “%(word)s”. It is one of %(known)s.") % {"word": word, "known": known})
    return None


def day(search: Search, word: str) -> datetime | None:
    """The beginning of a day in the reader's zone; also "today", "yesterday" and "7d" for seven days ago."""
    today = timezone.localdate()
    ago = re.fullmatch(r"(\d{1,4})d", word.lower())
    try:
        if "T" in word and (moment := parse_datetime(word)) is not None:  # As the report's links say it.
            return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
        found = {"today": today, "yesterday": today - timedelta(days=1)}.get(word.lower()) or parse_date(word)
        found = today - timedelta(days=int(ago.group(1))) if ago else found
    except (ValueError, OverflowError):
        found = None
    if found is None or not 1900 < found.year < 9999:
        search.problems.append(_("“%s” is no day: write 2026-11-30, today, yesterday or 7d.") % word)
        return None
    return timezone.make_aware(datetime.combine(found, time.min))


def after(search: Search, word: str) -> Q | None:
    began = day(search, word)
    search.since = max(filter(None, [began, search.since]), default=None)
    return Q(created_at__gte=began) if began else None


def before(search: Search, word: str) -> Q | None:
    ended = day(search, word)
    search.until = min(filter(None, [ended, search.until]), default=None)
    return Q(created_at__lt=ended) if ended else None


def words(search: Search, word: str) -> Q | None:
    """One word of many: wherever it may stand."""
    if re.fullmatch(r"#\d{1,18}", word):
        return by_id(search, word)
    if word.startswith("<") and (to := to_exactly(word.strip("<>"))) is not None:
        return to  # As it stands behind a name.
    if word.startswith("<") or re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", word.lower()):
        return Q(pk__in=known_as(word))
    if "@" in word.strip("@"):
        return to_exactly(word) or Q(pk__in=known_as(word))
    texts = Q(user_label__icontains=word) | Q(subject__icontains=word)
    return texts | search.begins(word) | Q(pk__in=known_as(word))


KEYS: dict[str, Callable[[Search, str], Q | None]] = {
    "to": by_address,
    "subject": by_subject,
    "status": by_status,
    "kind": by_kind,
    "id": by_id,
    "after": after,
    "before": before,
}
READERS = {**KEYS, "words": words}
SPACED = re.compile(rf"(?<!\S)(-?(?:{'|'.join(KEYS)}):)\s+", re.IGNORECASE)  # A blank after a key is meant as none.
