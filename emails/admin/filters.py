"""The list's filters. Their choices are static: Django's own would read the whole table to find them."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from emails.kinds import KINDS
from emails.models import Delivery, EmailLog, State
from emails.providers import PROVIDERS


class StaticFilter(admin.SimpleListFilter):
    """A filter that takes its own choices and ignores anything else in the address bar."""

    def value(self) -> str | None:
        value = super().value()
        return value if value in {str(key) for key, _label in self.lookup_choices} else None


class StatusFilter(StaticFilter):
    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        words = {value: label for value, label in [*State.choices, *Delivery.choices] if value}
        return [("attention", _("Needs attention")), ("waiting", _("In queue")), *words.items()]

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet[EmailLog]:
        value = self.value()
        if value == "attention":
            return queryset.needing_attention()  # type: ignore[no-any-return]
        if value == "waiting":
            return queryset.unsettled()  # type: ignore[no-any-return]
        return queryset.with_status(value) if value else queryset  # type: ignore[no-any-return]


class KindFilter(StaticFilter):
    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*((kind.key, kind.label) for kind in KINDS.values()), ("other", _("Other mail"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[EmailLog]) -> QuerySet[EmailLog]:
        value = self.value()
        return queryset.filter(kind="" if value == "other" else value) if value else queryset


class ProviderFilter(StaticFilter):
    title = _("provider")
    parameter_name = "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(provider.key, provider.label) for provider in PROVIDERS.values()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[EmailLog]) -> QuerySet[EmailLog]:
        return queryset.filter(provider=self.value()) if self.value() else queryset


class WindowFilter(StaticFilter):
    title = _("time")
    parameter_name = "window"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("1", _("Past hour")),
            ("24", _("Past 24 hours")),
            (str(24 * 7), _("Past 7 days")),
            (str(24 * 30), _("Past 30 days")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[EmailLog]) -> QuerySet[EmailLog]:
        value = self.value()
        return queryset.filter(created_at__gte=timezone.now() - timedelta(hours=int(value))) if value else queryset
