"""One page that tells how email does: what is missing, what each provider is at, who delivers, what waits."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core import checks
from django.core.exceptions import PermissionDenied
from django.core.mail import send_mail
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from emails.admin.control import lane_badge, may_control
from emails.admin.display import moment, span
from emails.cause import current
from emails.checks import TAG, how_to_authenticate, pasted_url
from emails.models import EmailLog, Health, Lane, Pause, State, Worker
from emails.models.state import DUE
from emails.models.status import among
from emails.models.worker import ALIVE
from emails.profile import Provider
from emails.providers import in_use

STUCK = 120  # Seconds.
MOST = 10_000  # Messages that are counted; beyond it is "many".


@admin.register(Health)
class HealthAdmin(admin.ModelAdmin[Health]):
    """No rows to list: the page of all of it. Those see it who may look at the lanes."""

    @method_decorator(require_safe)
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Email health"),
            "problems": problems(),
            "troubles": troubles(),
            "sender": settings.DEFAULT_FROM_EMAIL,
            "rate": settings.EMAILS["RATE_LIMIT"],
            "redirect": settings.EMAILS["REDIRECT_TO"],
            "pause": Pause.objects.filter(is_open=True).first(),
            "providers": [about(provider) for provider in in_use()],
            "workers": workers(),
            "queue": queue(),
            "may_control": may_control(request),
            "address": getattr(request.user, "email", ""),
        }
        return TemplateResponse(request, "admin/emails/health/change_list.html", context)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.try_view)
        return [path("try/", view, name="emails_health_try"), *super().get_urls()]

    @method_decorator(require_POST)
    def try_view(self, request: HttpRequest) -> HttpResponse:
        """Send a test email, through the very road that all mail takes."""
        if not may_control(request):
            raise PermissionDenied
        address = request.POST.get("address", "").strip()[:320]
        try:
            text = _("This is a test email from %(site)s.") % {"site": settings.SITE_URL}
            sent = send_mail(_("Test email"), text + "\n", None, [address])
        except ValueError as error:
            self.message_user(request, str(error), messages.ERROR)
            return redirect("admin:emails_health_changelist")
        if not sent:
            self.message_user(request, _("Say where to send it."), messages.ERROR)
            return redirect("admin:emails_health_changelist")
        return redirect("admin:emails_emaillog_change", current().recorded[-1].pk)

    def has_view_permission(self, request: HttpRequest, obj: Health | None = None) -> bool:
        return may_control(request) or super().has_view_permission(request, obj)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may_control(request) or super().has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Health | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Health | None = None) -> bool:
        return False


def problems() -> list[dict[str, Any]]:
    """What the checks find: names of variables, never their values."""
    found = checks.run_checks(tags=[TAG], include_deployment_checks=not settings.DEBUG)
    return [
        {"id": message.id, "words": message.msg, "hint": message.hint, "serious": message.is_serious()}
        for message in found
        if not message.is_silenced()
    ]


def about(provider: Provider) -> dict[str, Any]:
    lane = Lane.look(provider.key)
    return {
        "label": provider.label,
        "role": _("first") if provider.key == settings.EMAILS["PROVIDER"] else _("fallback"),
        "lane": lane_badge(lane),
        "error": lane.error,
        "failures": lane.failures,
        "last_success": moment(lane.last_success_at) if lane.last_success_at else "",
        "last_error": moment(lane.last_error_at) if lane.last_error_at else "",
        "last_report": moment(lane.last_webhook_at) if lane.last_webhook_at else "",
        "webhook": pasted_url(provider) if provider.webhook else "",
        "paste_at": provider.webhook.where if provider.webhook else "",
        "password": "@" in pasted_url(provider),
        "receives": provider.receives,
        "to_do": "" if provider.receives else how_to_authenticate(provider),
        "missing": [f"{variable.name} ({variable.where})" for variable in provider.missing],
        "can": capabilities(provider),
    }


def capabilities(provider: Provider) -> list[str]:
    """What it can do and what it can't, in words."""
    name = {"provider": provider.label}
    said = []
    if provider.webhook is None:
        said.append(_("%(provider)s reports no deliveries: what it accepted counts as sent, for ever.") % name)
    else:
        unknown = {"complained", "opened", "clicked"} - provider.webhook.events
        if unknown:
            said.append(_("%(provider)s does not report: %(events)s.") % {**name, "events": ", ".join(sorted(unknown))})
        if not provider.webhook.names_recipient:
            said.append(_("%(provider)s does not say which of several recipients a report is about.") % name)
    if provider.key_hours:
        hours = {**name, "time": span(provider.key_hours * 3600)}
        said.append(
            _("%(provider)s knows a message again for %(time)s, so that another try makes no second copy.") % hours
        )
    else:
        said.append(_("After a crash, what may or may not have left is shown as in doubt, and not sent again."))
    if provider.prefix and not provider.metadata:
        said.append(_("It takes no metadata: our reference travels as a tag."))
    if provider.prefix and not provider.tracking_options:
        said.append(_("A message can't switch the tracking of opens and clicks: that is set at the provider."))
    if provider.tags == 1:
        said.append(_("It takes one tag with a message, which is the caller's where there is one."))
    return said


def troubles() -> list[str]:
    """What does not go as it should right now, whatever the environment says."""
    said = []
    if not Worker.alive().exists():
        said.append(_("No worker is alive: nothing is delivered. Start “manage.py worker”."))
    for provider in in_use():
        if Lane.look(provider.key).on_trial:
            said.append(
                _("%(provider)s is not reached, or refuses our mail: see its lane.") % {"provider": provider.label}
            )
    if EmailLog.objects.waiting_seconds() > STUCK:
        said.append(_("Mail waits longer than it should."))
    lately = EmailLog.objects.filter(created_at__gt=timezone.now() - timedelta(days=1))
    for state in (State.IN_DOUBT, State.FAILED):
        count = lately.filter(state=state).order_by()[: MOST + 1].count()
        if count:
            said.append(_("%(state)s in the past day: %(count)d.") % {"state": state.label, "count": count})
    return said


def workers() -> list[dict[str, Any]]:
    now = timezone.now()
    rows = Worker.objects.filter(seen_at__gt=now - timedelta(hours=1))
    return [{"name": row.name, "seen": moment(row.seen_at), "alive": now - row.seen_at < ALIVE} for row in rows]


def queue() -> dict[str, Any]:
    # As part of the unsettled, or SQLite walks through the index by status, which has the states too.
    waiting = EmailLog.objects.unsettled().filter(among("state", DUE)).order_by()[: MOST + 1].count()
    oldest = EmailLog.objects.waiting_seconds()
    return {
        "waiting": f"{MOST:,}+" if waiting > MOST else waiting,
        "oldest": span(oldest) if oldest else "",
        "stuck": oldest > STUCK,
    }
