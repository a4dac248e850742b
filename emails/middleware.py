from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

from emails.cause import caused_by


class CauseMiddleware:
    """Names the signed-in person and the page as the cause of every email that the request leads to."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        if self.is_async:
            return self.call_async(request)
        with caused_by(describe(request), actor(request)):
            response: HttpResponse = self.get_response(request)
        return response

    async def call_async(self, request: HttpRequest) -> HttpResponse:
        with caused_by(describe(request), actor(request)):
            response: HttpResponse = await self.get_response(request)
        return response


def describe(request: HttpRequest) -> str:
    # The path alone: a query may hold addresses or tokens.
    return f"{request.method} {request.path}"


def actor(request: HttpRequest) -> Any:
    """The signed-in person, looked up only where an email is recorded."""
    return SimpleLazyObject(lambda: request.user)


def client_address(request: HttpRequest) -> str:
    """The network address of the client. What it says of itself (X-Forwarded-For) counts for nothing.

    Behind a proxy it is the last entry, which the proxy itself has added; some proxies write a port behind it. "" where
    there is none: on a Unix socket without a proxy.
    """
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "") if settings.BEHIND_PROXY else ""
    for said in (forwarded.rpartition(",")[2].strip(), request.META.get("REMOTE_ADDR", "")):
        for address in (said, said.rpartition(":")[0].strip("[]")):
            try:
                return str(ip_address(address))
            except ValueError:
                continue
    return ""
