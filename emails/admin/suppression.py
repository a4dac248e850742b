"""Addresses that get no mail, with why and since when; staff who control delivery let mail go there again."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from emails.admin.control import may_control
from emails.admin.display import badge, moment
from emails.admin.filters import StaticFilter
from emails.models import Suppression
from emails.payload import storable


class LiftedFilter(StaticFilter):
    title = _("state")
    parameter_name = "lifted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("no", _("Suppressed")), ("yes", _("Lifted"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Suppression]) -> QuerySet[Suppression]:
        return queryset.filter(lifted_at__isnull=self.value() == "no") if self.value() else queryset


@admin.register(Suppression)
class SuppressionAdmin(admin.ModelAdmin[Suppression]):
    """Reports make the rows; nobody adds, edits or deletes them."""

    list_display = ("address", "condition", "reported", "report", "lifted")
    list_filter = (LiftedFilter,)
    list_per_page = 50
    show_full_result_count = False
    search_fields = ("address",)
    actions = None
    show_facets = admin.ShowFacets.NEVER

    def get_queryset(self, request: HttpRequest) -> QuerySet[Suppression]:
        return super().get_queryset(request).select_related("event")

    @admin.display(description=_("state"))
    def condition(self, suppression: Suppression) -> str:
        if suppression.lifted_at:
            return badge("skipped", gettext("Lifted"))
        return badge(suppression.reason, str(Suppression.Reason(suppression.reason).label))

    @admin.display(description=_("since"))
    def reported(self, suppression: Suppression) -> str:
        return moment(suppression.since)

    @admin.display(description=_("reported about"))
    def report(self, suppression: Suppression) -> str:
        event = suppression.event
        if event is None or event.email_id is None:
            return "–"
        url = reverse("admin:emails_emaillog_change", args=[event.email_id])
        return format_html('<a href="{}">{}</a>', url, gettext("Email #%d") % event.email_id)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return super().changelist_view(request, {"title": self.opts.verbose_name_plural.capitalize()})  # type: ignore[union-attr]

    @admin.display(description=_("lifted by"))
    def lifted(self, suppression: Suppression) -> str:
        if suppression.lifted_at is None:
            return "–"
        return format_html(
            "{}, {}: {}", suppression.lifted_by_label, moment(suppression.lifted_at), suppression.lifted_for
        )

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.lift_view)
        return [path("<int:pk>/lift/", view, name="emails_suppression_lift"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """What is known of it, and the form that lifts it, in place of one that edits."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        suppression = get_object_or_404(self.get_queryset(request), pk=object_id if object_id.isdecimal() else 0)
        facts = [
            (_("state"), self.condition(suppression)),
            (_("since"), self.reported(suppression)),
            (_("reported about"), self.report(suppression)),
            (_("said"), suppression.event.detail.get("error", "–") if suppression.event else "–"),
            (_("lifted by"), self.lifted(suppression)),
        ]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": suppression,
            "title": suppression.address,
            "facts": facts,
            "may_lift": may_control(request) and suppression.lifted_at is None,
        }
        return TemplateResponse(request, "admin/emails/suppression/change_form.html", context)

    @method_decorator(require_POST)
    def lift_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not may_control(request):
            raise PermissionDenied
        suppression = get_object_or_404(Suppression, pk=pk)
        reason = storable(request.POST.get("reason", "").strip()[:500])
        if not reason:
            self.message_user(request, gettext("Say why: others will wonder."), messages.ERROR)
        elif suppression.lift(request.user, reason):
            said = gettext("Mail goes to %s again. The provider may keep a list of its own.")
            self.message_user(request, said % suppression.address)
        else:
            self.message_user(request, gettext("It is lifted already."), messages.WARNING)
        return redirect("admin:emails_suppression_change", pk)

    def has_view_permission(self, request: HttpRequest, obj: Suppression | None = None) -> bool:
        return may_control(request) or super().has_view_permission(request, obj)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may_control(request) or super().has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Suppression | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Suppression | None = None) -> bool:
        return False
