"""How times and statuses look, on the list and on the message's page."""

from datetime import date, datetime, timedelta
from functools import lru_cache

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from emails.providers import PROVIDERS

# A shape beside every word, so that no status is told by its colour alone.
SHAPES = {
    "good": ("✓", {"sent", "delivered"}),
    "moving": ("…", {"queued", "claimed", "sending", "retrying", "deferred"}),
    "bad": ("✕", {"failed", "bounced", "rejected", "complained"}),
    "unsure": ("?", {"in_doubt"}),
    "none": ("–", {"suppressed", "skipped", "cancelled", "expired"}),
}


def tone(status: str) -> str:
    return next((tone for tone, (_shape, statuses) in SHAPES.items() if status in statuses), "none")


@lru_cache(maxsize=500)  # A list has few, many times.
def badge(status: str, label: str) -> str:
    return toned(tone(status), label)


def toned(tone: str, label: str) -> str:
    """A word in one of the tones of SHAPES."""
    return format_html(
        '<span class="badge badge-{}"><span aria-hidden="true">{}</span> {}</span>', tone, SHAPES[tone][0], label
    )


def moment(when: datetime) -> str:
    """A relative time that carries the absolute one, on hover and for screen readers, in the reader's zone."""
    local = timezone.localtime(when)
    exact = escape(absolute_of(local))
    return SafeString(
        f'<time datetime="{local.isoformat(timespec="seconds")}" title="{exact}">{ago(when, timezone.now())}'
        f'<span class="visually-hidden">, {exact}</span></time>'
    )


def ago(when: datetime, now: datetime) -> SafeString:
    """How long ago, as Django tells it to the greatest unit: what many moments have in common is worded once."""
    now = now.astimezone(when.tzinfo)
    seconds = int((now - when).total_seconds())
    months = (now.year - when.year) * 12 + now.month - when.month - ((now.day, now.time()) < (when.day, when.time()))
    whole = next((unit for unit in (86400, 3600, 60) if seconds >= unit), 0)
    return since(max(months, 0), seconds // whole * whole if whole else 0, get_language() or "")


@lru_cache(maxsize=500)
def since(months: int, seconds: int, language: str) -> SafeString:
    """In words of the language that is active."""
    begin = datetime(2001, 1, 1)
    end = datetime(2001 + months // 12, 1 + months % 12, 1) if months else begin + timedelta(seconds=seconds)
    return escape(_("%(time)s ago") % {"time": timesince(begin, end, depth=1)} if end > begin else _("just now"))


def provider_label(key: str, otherwise: str) -> str:
    """How staff read a row's provider; `otherwise` where it has none yet."""
    return PROVIDERS[key].label if key in PROVIDERS else key or otherwise


def absolute(when: datetime) -> str:
    return absolute_of(timezone.localtime(when))


def absolute_of(local: datetime) -> str:
    return f"{day(local.date(), get_language() or '')}, {str(local)[11:19]} {local.tzname()}"


@lru_cache(maxsize=500)
def day(date: date, language: str) -> str:
    """A date as the language that is active writes it."""
    return date_format(date, "DATE_FORMAT")


def span(seconds: float) -> str:
    """A duration in plain words."""
    if seconds < 1:
        return _("less than a second")
    if seconds < 120:
        return ngettext("%d second", "%d seconds", round(seconds)) % round(seconds)
    if seconds < 7200:
        return _("%d minutes") % round(seconds / 60)
    return _("%d hours") % round(seconds / 3600)
