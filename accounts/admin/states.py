"""How it stands with a person, in one word: on the list, as its filter, and on the page."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import Case, CharField, Exists, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Lower
from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.timezone import localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import links
from accounts.models import NO_PASSWORD, User
from accounts.throttling import locked
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


def conditions() -> dict[str, Q]:
    return {
        "anonymised": Q(anonymised_at__isnull=False),
        "disabled": Q(is_active=False),
        "locked": locked(),
        "invited": NO_PASSWORD & Q(invited_at__isnull=False),
        "never": Q(last_login=None),
        "active": Q(),
    }


def with_state(people: QuerySet[User]) -> QuerySet[User]:
    """People with their `state`, one of STATES, and with why no mail reaches their address, if so."""
    *firsts, default = conditions().items()
    return people.annotate(
        state=Case(
            *(When(condition, then=Value(state)) for state, condition in firsts),
            default=Value(default[0]),
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
        """By conditions that an index answers, and not by the annotation, which would be made of everybody."""
        for state, condition in conditions().items() if self.value() in STATES else ():
            if state == self.value():
                return queryset.filter(condition)  # type: ignore[no-any-return]
            queryset = queryset.exclude(condition)
        return queryset  # type: ignore[no-any-return]


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


class GroupFilter(admin.SimpleListFilter):
    """Django's own joins, and has to sort a million people to take each once."""

    title = _("group")
    parameter_name = "group"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        groups = Group.objects.order_by("name").values_list("pk", "name")[:100]
        return [*((str(pk), name) for pk, name in groups), ("none", _("None"))] if groups else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        value = self.value() or ""
        members = User.groups.through.objects.filter(user=OuterRef("pk"))
        if value == "none":
            return queryset.filter(~Exists(members))
        return queryset.filter(Exists(members.filter(group=int(value)))) if value.isdecimal() else queryset


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


def invited_until(person: User) -> str:
    """Until when the invitation is good, or that it no longer is."""
    ends = links.expires_at(person)
    if ends is None:
        return ""
    if not links.is_open(person):
        return format_html('<span class="quiet">{}</span>', gettext("expired"))
    return format_html(
        '<span class="quiet">{}</span>', gettext("until %s") % date_format(localtime(ends), "SHORT_DATE_FORMAT")
    )


def role(person: User) -> str:
    key = "superuser" if person.is_superuser else "staff" if person.is_staff else "user"
    return str(RoleFilter.ROLES[key][0])
