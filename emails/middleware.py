from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
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
