"""Times are shown in the reader's zone: the browser tells it in a cookie; who has none sees the site's TIME_ZONE."""

from collections.abc import Callable
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

COOKIE = "tz"  # Written by static/backoffice/zone.js.


class ZoneMiddleware:
    """Everything that the request leads to reads and writes local times in the reader's zone."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with timezone.override(zone(request.COOKIES.get(COOKIE, ""))):
            return self.get_response(request)


def zone(name: str) -> ZoneInfo | None:
    """The zone of this name, or None, which is the site's own, where there is none such."""
    return ZoneInfo(name) if name in known() else None


@cache
def known() -> frozenset[str]:
    return frozenset(available_timezones())
