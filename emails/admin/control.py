"""Buttons on a message's page, and the lanes with the switch that lets nothing leave. All of them POST."""

from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from emails import control
from emails.admin.display import badge, moment, provider_label
from emails.models import EmailLog, Lane, Pause, State
from emails.payload import storable

LABELS = {
    "cancel": (gettext_lazy("Cancel it"), gettext_lazy("It will not be sent.")),
    "hurry": (gettext_lazy("Try now"), gettext_lazy("The next attempt is made at once.")),
    "believe": (gettext_lazy("It arrived"), gettext_lazy("You know that the person has got it.")),
}
DONE = {
    "cancel": gettext_lazy("The email is cancelled."),
    "hurry": gettext_lazy("The email will be tried now."),
    "believe": gettext_lazy("The email counts as sent."),
}


def may_control(request: HttpRequest) -> bool:
    return request.user.has_perm("emails.control_delivery")  # type: ignore[union-attr]


def may(request: HttpRequest, email: EmailLog, verb: str) -> bool:
    """Settling a doubt, cancelling and hurrying control delivery; sending what has ended once more is resending."""
    resends = verb == "resend" or (verb == "send_again" and email.state != State.IN_DOUBT)
    return request.user.has_perm(f"emails.{'resend_emaillog' if resends else 'control_delivery'}")  # type: ignore[union-attr]


def buttons(request: HttpRequest, email: EmailLog) -> list[dict[str, Any]]:
    """What this person may do with the message as it is."""
    return [
        {"verb": verb, "label": LABELS[verb][0], "help": LABELS[verb][1], "reason": verb != "hurry"}
        for verb in (control.verbs(email) if email.state in control.OPEN else ())
        if verb in LABELS and may(request, email, verb)
    ]


class ControlMixin(admin.ModelAdmin[EmailLog]):
    """For the log's admin: one URL that does what one of the buttons says."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.control_view)
        return [path("<int:pk>/control/", view, name="emails_emaillog_control"), *super().get_urls()]

    @method_decorator(require_POST)
    def control_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        email = self.found(pk)  # type: ignore[attr-defined]
        verb, reason = request.POST.get("verb", ""), storable(request.POST.get("reason", "").strip()[:500])
        if not (self.has_view_permission(request) and may(request, email, verb)):
            raise PermissionDenied
        try:
            self.do(request, email, verb, reason)
        except control.NotNow as error:
            self.message_user(request, str(error), messages.WARNING)
        return redirect(email)

    def do(self, request: HttpRequest, email: EmailLog, verb: str, reason: str) -> None:
        if verb == "hurry":
            control.hurry(email, request.user)
        elif verb not in LABELS:
            raise PermissionDenied
        elif not reason:
            self.message_user(request, _("Say why: others will read it in the timeline."), messages.ERROR)
            return
        else:
            getattr(control, verb)(email, request.user, reason)
        self.message_user(request, DONE[verb])


def labelled(label: str, when: datetime | None) -> str:
    """A time with its name before it, which the stylesheet shows where the table has no head: on a phone."""
    return format_html('<span class="label">{}: </span>{}', label, moment(when) if when else "–")


def lane_badge(lane: Lane) -> str:
    """Open, waiting as it was asked to, or closed."""
    words = str(Lane.Reason(lane.reason).label)
    if not lane.reason:
        return badge(State.SENT, words)
    if lane.reason == Lane.Reason.THROTTLED:
        return badge(State.RETRYING, words)
    return badge(State.FAILED, _("Closed: %s") % words)


@admin.register(Lane)
class LaneAdmin(admin.ModelAdmin[Lane]):
    """The way to each provider, and the switch that lets nothing leave. There is nothing else to change."""

    list_display = ("provider", "condition", "since", "error", "failures", "success", "failure")
    list_display_links = None
    actions = None
    change_list_template = "admin/emails/lane/change_list.html"

    @admin.display(description=gettext_lazy("provider"))
    def provider(self, lane: Lane) -> str:
        return provider_label(lane.key, lane.key)

    @admin.display(description=gettext_lazy("state"))
    def condition(self, lane: Lane) -> str:
        return lane_badge(lane)

    @admin.display(description=gettext_lazy("closed since"))
    def since(self, lane: Lane) -> str:
        return labelled(_("closed since"), lane.closed_at)

    @admin.display(description=gettext_lazy("last success"))
    def success(self, lane: Lane) -> str:
        return labelled(_("last success"), lane.last_success_at)

    @admin.display(description=gettext_lazy("last error"))
    def failure(self, lane: Lane) -> str:
        return labelled(_("last error"), lane.last_error_at)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.pause_view)
        return [path("pause/", view, name="emails_lane_pause"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        pauses = list(Pause.objects.all()[:10])
        context = {
            "title": _("Delivery"),
            "paused": next((pause for pause in pauses if pause.is_open), None),
            "pauses": [pause for pause in pauses if not pause.is_open],
            "may_control": may_control(request),
        }
        return super().changelist_view(request, {**context, **(extra_context or {})})

    @method_decorator(require_POST)
    def pause_view(self, request: HttpRequest) -> HttpResponse:
        """Pause all sending for a reason, or resume it."""
        if not may_control(request):
            raise PermissionDenied
        reason = storable(request.POST.get("reason", "").strip()[:500])
        if "resume" in request.POST:
            done = Pause.end(request.user)
            self.message_user(request, _("Sending goes on.") if done else _("Sending was not paused."))
        elif not reason:
            self.message_user(request, _("Say why sending is paused: others will wonder."), messages.ERROR)
        elif Pause.begin(request.user, reason):
            self.message_user(request, _("All sending is paused; what is recorded waits."), messages.WARNING)
        else:
            self.message_user(request, _("Sending is paused already."), messages.WARNING)
        return redirect("admin:emails_lane_changelist")

    def has_view_permission(self, request: HttpRequest, obj: Lane | None = None) -> bool:
        return may_control(request) or super().has_view_permission(request, obj)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may_control(request) or super().has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # Lanes open by themselves.

    def has_change_permission(self, request: HttpRequest, obj: Lane | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Lane | None = None) -> bool:
        return False
