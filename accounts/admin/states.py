"""How it stands with a person, in one word: on the list, as its filter, and on the page."""

from typing import Any

from django.contrib import admin
from django.db.models import Case, CharField, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Lower
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.models import NO_PASSWORD, User
from accounts.throttling import is_locked
from emails.admin.display import toned
from emails.models import Suppression

STATES: dict[str, tuple[Any, str]] = {  # The first that fits is the one.
    "anonymised": (_("Anonymised"), "none"),
    "disabled": (_("Disabled"), "none"),
    "locked": (_("Locked"), "bad"),
    "invited": (_("Invited"), "moving"),
    "never": (_("Never signed in"), "unsure"),
    "active": (_("Active"), "good"),
}


def with_state(people: QuerySet[User]) -> QuerySet[User]:
    """People with their `state`, one of STATES, and with why no mail reaches their address, if so."""
    return people.annotate(locked=is_locked(OuterRef("username"))).annotate(
        state=Case(
            When(anonymised_at__isnull=False, then=Value("anonymised")),
            When(is_active=False, then=Value("disabled")),
            When(locked=True, then=Value("locked")),
            When(NO_PASSWORD, invited_at__isnull=False, then=Value("invited")),
            When(last_login=None, then=Value("never")),
            default=Value("active"),
            output_field=CharField(),
        ),
        barred=Suppression.reason_of(Lower(OuterRef("email"))),
    )


class StateFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(key, label) for key, (label, _tone) in STATES.items()]

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet[User]:
        return queryset.filter(state=self.value()) if self.value() in STATES else queryset  # type: ignore[no-any-return]


class RoleFilter(admin.SimpleListFilter):
    title = _("role")
    parameter_name = "role"
    ROLES: dict[str, tuple[Any, Q]] = {
        "superuser": (_("Superuser"), Q(is_superuser=True)),
        "staff": (_("Staff"), Q(is_staff=True, is_superuser=False)),
        "user": (_("User"), Q(is_staff=False, is_superuser=False)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(key, label) for key, (label, _fits) in self.ROLES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        return queryset.filter(self.ROLES[self.value() or ""][1]) if self.value() in self.ROLES else queryset


class AddressFilter(admin.SimpleListFilter):
    title = _("address")
    parameter_name = "address"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*Suppression.Reason.choices, ("none", _("No address"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        value = self.value()
        if value == "none":
            return queryset.filter(email="")
        if value not in Suppression.Reason.values:
            return queryset
        barred = Suppression.objects.filter(reason=value, lifted_at=None).values("address")
        return queryset.alias(lower_email=Lower("email")).filter(lower_email__in=barred)


def state_badge(person: Any) -> str:
    label, tone = STATES[person.state]
    return toned(tone, label)


def role(person: User) -> str:
    key = "superuser" if person.is_superuser else "staff" if person.is_staff else "user"
    return str(RoleFilter.ROLES[key][0])
