"""What is nobody's mistake of ours: values that no browser sends of its own accord, and two who met in the database."""

from collections.abc import Callable

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.utils.translation import gettext as _

# What the databases and Django's fields say to a key of thirty digits, a letter for a number, or a NUL.
ODD = ("too large to convert to SQLite INTEGER", "expected a number but got", "cannot contain NUL", "out of range")


class OddValuesMiddleware:
    """Answers 400 where a value can be none of the column it was held against, and 503 to one who lost a deadlock."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        odd = isinstance(error, ValueError | OverflowError) and any(words in str(error) for words in ODD)
        if odd:
            return HttpResponseBadRequest("A value of this request is none that can be looked for.")
        if isinstance(error, OperationalError) and "deadlock" in str(error):
            # Two members of staff have changed the same people, in another order: one of them was taken back whole.
            words = _("Somebody else has changed the same at the same moment. Nothing was saved: please try again.")
            return HttpResponse(
                words, status=503, content_type="text/plain; charset=utf-8", headers={"Retry-After": "1"}
            )
        return None
