"""Requests that no browser makes of its own accord: refused as such, instead of an error that looks like ours."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest

# What the databases and Django's fields say to a key of thirty digits, a letter for a number, or a NUL.
ODD = ("too large to convert to SQLite INTEGER", "expected a number but got", "cannot contain NUL", "out of range")


class OddValuesMiddleware:
    """Answers 400 where a value of the request can be no value of the column that it was held against."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        odd = isinstance(error, ValueError | OverflowError) and any(words in str(error) for words in ODD)
        return HttpResponseBadRequest("A value of this request is none that can be looked for.") if odd else None
