from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import PersonEvent
from emails.admin.display import moment
from emails.admin.filters import StaticFilter
from emails.admin.paging import CappedPaginator


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
        detail = ", ".join(f"{name}: {value}" for name, value in event.detail.items())
        return " · ".join(part for part in (gettext(event.reason) if event.reason else "", detail) if part) or "–"

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        return lookup == "type"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: PersonEvent | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: PersonEvent | None = None) -> bool:
        return False
