"""The card on the admin's front page, and the banner on all its pages: pictures first, the figures behind them."""

from typing import Any

from django.core.cache import cache
from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from emails.admin.display import span
from emails.admin.health import STUCK, about
from emails.models import Pause, Worker
from emails.overview import MOST_WAITING, SECONDS, Overview, overview
from emails.providers import in_use

WIDTH, HEIGHT, GAP = 600, 120, 4
BANNER = "emails.banner"


def card(request: HttpRequest) -> dict[str, Any]:
    """The template's context; nothing for those who may not see the log."""
    if not request.user.has_perm("emails.view_emaillog"):  # type: ignore[union-attr]
        return {}
    found = overview()
    return {
        "overview": found,
        "waiting": f"{MOST_WAITING:,}+" if found.waiting > MOST_WAITING else found.waiting,
        "oldest": span(found.oldest) if found.oldest else "",
        "width": WIDTH,
        "height": HEIGHT,
        "bars": bars(found),
        "providers": [about(provider) for provider in in_use()],
        "alive": Worker.alive().count(),
    }


def bars(found: Overview) -> list[dict[str, Any]]:
    """Stacked bars in whole pixels: what was lost stands at the bottom, where it is compared."""
    step = WIDTH / max(len(found.days), 1)
    made = []
    for number, day in enumerate(found.days):
        parts, top = [], HEIGHT
        for name in ("lost", "other", "delivered"):
            value = getattr(day, name)
            if not value:
                continue
            height = max(round(HEIGHT * value / found.most), 1)
            top = max(top - height, 0)
            parts.append({"name": name, "y": top, "height": height})
        words = _("%(day)s: %(delivered)d delivered, %(other)d without a report, %(lost)d failed or bounced")
        values = {"delivered": day.delivered, "other": day.other, "lost": day.lost}
        made.append(
            {
                "x": round(number * step),
                "width": round(step) - GAP,
                "parts": parts,
                "title": words % {**values, "day": date_format(day.day, "SHORT_DATE_FORMAT")},
            }
        )
    return made


def banner(request: HttpRequest) -> list[str]:
    """What everybody who sees the log has to know on every page: looked up once a minute."""
    user: Any = request.user
    if not (user.is_active and user.has_perm("emails.view_emaillog")):
        return []
    troubles: list[str] | None = cache.get(BANNER)
    if troubles is None:
        found = overview()
        paused = Pause.objects.filter(is_open=True).exists()
        stuck = found.oldest > STUCK and not paused
        troubles = [
            name for name, is_so in (("paused", paused), ("stuck", stuck), ("bouncing", found.bouncing)) if is_so
        ]
        cache.set(BANNER, troubles, SECONDS)
    words = {
        "paused": _("All sending is paused."),
        "stuck": _("The queue does not move: mail waits longer than it should."),
        "bouncing": _("More than one in twenty emails bounces: providers refuse a sender for that."),
    }
    return [words[name] for name in troubles]
