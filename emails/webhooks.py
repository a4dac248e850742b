"""Where providers report: the view of each that is in use, closed to everybody who does not prove to be it.

Anymail's own views authenticate and parse. What is added here: nothing is read that is too large, nothing malformed is
an error of ours, one bad event does not cost the others, and nothing of a request gets into a log line.
"""

import logging
from typing import Any

from anymail.exceptions import AnymailWebhookValidationFailure
from django.core.exceptions import ImproperlyConfigured, RequestDataTooBig
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, UnreadablePostError
from django.utils.module_loading import import_string
from django.views.decorators.csrf import csrf_exempt

from emails import providers, tracking
from emails.authentication import NotAllowed, check_freshness, check_topic, signature
from emails.profile import Provider, Webhook
from emails.reports import Report, report

logger = logging.getLogger(__name__)

MOST = 1_000_000  # Bytes of a body; a provider's batch of a thousand events has about half of that.
TRIES = 3  # Of two requests that lock the same rows, the database may turn one away.


@csrf_exempt
def receive(request: HttpRequest, esp: str) -> HttpResponse:
    """200 where the reports are kept, 4xx where they can't be, 503 where the database is away: come again."""
    provider = next((known for known in providers.in_use() if known.key == esp and known.receives), None)
    if provider is None or provider.webhook is None:
        raise Http404
    if request.method in {"GET", "HEAD"}:
        return HttpResponse()  # Some look whether anybody is there before they post.
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if not provider.is_signed and not request.META.get("HTTP_AUTHORIZATION"):
        return ask_for_password(provider)
    if not fits(request):
        return refused(provider, 413, "too_large")
    view = listening(provider.webhook, signed=provider.is_signed)
    try:
        view.run_validators(request)
        check_freshness(request, provider)
        check_topic(request, provider)
    except (AnymailWebhookValidationFailure, NotAllowed):
        return refused(provider, 403, "not_authentic")
    except ImproperlyConfigured as error:
        logger.error("webhook.misconfigured provider=%s error=%s", provider.key, type(error).__name__)
        return HttpResponse(status=403)
    except Exception as error:  # Whatever a validator stumbles over is malformed.
        return refused(provider, 400, type(error).__name__)
    try:
        events = [event for event in view.parse_events(request) if event is not None]
    except Exception as error:
        events, view.odd, view.why = [], 1, type(error).__name__
    reports = understood(provider, view, events)
    token = "" if reports or provider.webhook.signs_body else str(signature(request)["token"])
    answer = kept(provider, reports, token)
    nothing = view.odd and not reports and answer.status_code == 200
    return refused(provider, 400, "odd_events") if nothing else answer


def fits(request: HttpRequest) -> bool:
    """Whether the body is small enough to be looked at; one that says how large it is is not even read."""
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0) <= MOST and len(request.body) <= MOST
    except (RequestDataTooBig, UnreadablePostError, ValueError):
        return False


def listening(webhook: Webhook, *, signed: bool) -> Any:
    """Anymail's view of a provider, which lays events aside that it can't make anything of, instead of giving up.

    Of one that signs no password is asked beside: that belongs to another provider, which does not.
    """
    base: Any = import_string(webhook.view)

    class View(base):  # type: ignore[misc]
        odd, why = 0, ""
        event_types = {**getattr(base, "event_types", {}), **dict(webhook.more_types)}

        def esp_to_anymail_event(self, *args: Any) -> Any:
            try:
                return super().esp_to_anymail_event(*args)
            except Exception as error:  # Inbound mail that is posted here by mistake, too: Anymail's class says so.
                self.odd, self.why = self.odd + 1, type(error).__name__
                return None

        def unwrap_event(self, raw_event: Any) -> Any:  # SparkPost's, before the one above.
            try:
                return super().unwrap_event(raw_event)
            except Exception as error:
                self.odd, self.why = self.odd + 1, type(error).__name__
                return None, None, raw_event

    return View(webhook_secret=[]) if signed else View()


def understood(provider: Provider, view: Any, events: list[Any]) -> list[Report]:
    reports = []
    for event in events:
        try:
            found = report(provider, event)
        except (ValueError, TypeError, RecursionError) as error:
            view.odd, view.why = view.odd + 1, type(error).__name__
            continue
        if found is not None:
            reports.append(found)
    if view.odd:
        logger.warning("webhook.odd_events provider=%s number=%s error=%s", provider.key, view.odd, view.why)
    return reports


def kept(provider: Provider, reports: list[Report], token: str = "") -> HttpResponse:
    """`token` is one that nothing was said under: nothing else may be."""
    for last in (False,) * (TRIES - 1) + (True,):
        try:
            if token:
                tracking.remember(provider, token)
            return (
                HttpResponse()
                if not reports or tracking.ingest(provider, reports)
                else refused(provider, 400, "replayed")
            )
        except (OperationalError, InterfaceError) as error:
            if last:
                logger.warning("webhook.database_away provider=%s error=%s", provider.key, type(error).__name__)
        except DatabaseError as error:
            logger.error("webhook.report_refused provider=%s error=%s", provider.key, type(error).__name__)
            return one_by_one(provider, reports)
    return HttpResponse(status=503, headers={"Retry-After": "30"})


def one_by_one(provider: Provider, reports: list[Report]) -> HttpResponse:
    """What the database refuses must not cost the others of its batch."""
    if len(reports) == 1:
        return refused(provider, 400, "report_refused")
    statuses = {kept(provider, [report]).status_code for report in reports}
    return HttpResponse(status=503) if 503 in statuses else HttpResponse()


def ask_for_password(provider: Provider) -> HttpResponse:
    """Amazon SNS sends user and password only after it was asked for them (SNS, "HTTP authentication")."""
    answer = refused(provider, 401, "no_authentication")
    answer["WWW-Authenticate"] = 'Basic realm="webhook"'
    return answer


def refused(provider: Provider, status: int, reason: str) -> HttpResponse:
    logger.warning("webhook.refused provider=%s status=%s reason=%s", provider.key, status, reason)
    return HttpResponse(status=status)
