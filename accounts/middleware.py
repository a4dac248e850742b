"""What holds for everybody who is signed in: a session that rests ends, and a second factor is not walked around."""

import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts.factors import is_due, way_in

REFRESH = 60  # Seconds after which a request prolongs its session: not every one of them has to write.


class IdleMiddleware:
    """Prolongs a session with use; without any for SESSION_IDLE_MINUTES it ends, in the browser and in the database."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        session = request.session
        if session.session_key and session.get("_auth_user_id"):
            now = int(time.time())
            if now - session.get("seen", 0) >= min(REFRESH, settings.SESSION_COOKIE_AGE // 10):
                session["seen"] = now
        return response


class SecondFactorMiddleware:
    """Leads whoever still has to prove a second factor there, from whichever page."""

    # What stays open on the way.
    OPEN = frozenset({"second_factor", "second_factor_setup", "logout", "admin:logout", "admin:jsi18n"})

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        match = request.resolver_match
        if match is None or match.view_name in self.OPEN or settings.SESSION_COOKIE_NAME not in request.COOKIES:
            return None
        return redirect(way_in(request)) if is_due(request) else None
