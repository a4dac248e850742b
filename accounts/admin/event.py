from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from accounts.models import PersonEvent
from accounts.policy import NEEDS
from accounts.throttling import locked_addresses, unlock_address
from emails.admin.display import moment
from emails.admin.filters import StaticFilter
from emails.admin.paging import CappedPaginator


def may_unlock(request: HttpRequest) -> bool:
    return request.user.has_perm(NEEDS["unlock"])  # type: ignore[union-attr]


class TypeFilter(StaticFilter):
    title = _("what")
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(PersonEvent.Type.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[PersonEvent]) -> QuerySet[PersonEvent]:
        return queryset.filter(type=self.value()) if self.value() else queryset


@admin.register(PersonEvent)
class PersonEventAdmin(admin.ModelAdmin[PersonEvent]):
    """What happened to people and what was refused: to be read, and nothing else."""

    list_display = ("when", "what", "whom", "actor_label", "why")
    list_display_links = None
    list_filter = (TypeFilter,)
    list_per_page = 100
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    actions = None

    change_list_template = "admin/accounts/personevent/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.unlock_view)
        return [path("unlock/", view, name="accounts_personevent_unlock"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """With the network addresses that are locked out, which stand with no person."""
        context = {"addresses": locked_addresses(), "may_unlock": may_unlock(request)}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    @method_decorator(require_POST)
    def unlock_view(self, request: HttpRequest) -> HttpResponse:
        if not (self.has_view_permission(request) and may_unlock(request)):
            raise PermissionDenied
        if unlock_address(request.POST.get("address", "")):
            self.message_user(request, _("The network address is unlocked."))
        return redirect("admin:accounts_personevent_changelist")

    @admin.display(description=_("when"))
    def when(self, event: PersonEvent) -> str:
        return moment(event.at)

    @admin.display(description=_("what"))
    def what(self, event: PersonEvent) -> str:
        return str(event.get_type_display())

    @admin.display(description=_("person"))
    def whom(self, event: PersonEvent) -> str:
        if event.person_id is None:
            return event.person_label or "–"
        url = reverse("admin:accounts_user_change", args=[event.person_id])
        return format_html('<a href="{}">{}</a>', url, event.person_label)

    @admin.display(description=_("reason"))
    def why(self, event: PersonEvent) -> str:
        detail = ", ".join(str(value) for value in event.detail.values())
        return " · ".join(part for part in (gettext(event.reason) if event.reason else "", detail) if part) or "–"

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        return lookup == "type"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: PersonEvent | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: PersonEvent | None = None) -> bool:
        return False
