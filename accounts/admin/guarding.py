"""The policy in the admin: what may not be changed is read-only and says why; what is tried in spite of it is kept."""

from collections.abc import Callable
from typing import Any, cast

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import policy
from accounts.models import LastSuperuser, User

TRACED = 20  # People, of one attempt on many.


def refusal(request: HttpRequest, verb: str, person: User) -> str:
    """The policy's answer, looked up once a request: the admin asks again and again."""
    known: dict[Any, str] = request.__dict__.setdefault("_refusals", {})
    key = (verb, person.pk)
    if key not in known:
        known[key] = policy.refusal(request.user, verb, person)
    return known[key]


def deny_beyond(request: HttpRequest, verb: str, chosen: QuerySet[User]) -> None:
    """Leave a trace of those chosen whom the actor may not do this to; of some, where they are very many."""
    allowed = policy.permitted(request.user, verb, chosen).values("pk")
    for person in chosen.exclude(pk__in=allowed).order_by("pk")[:TRACED]:
        policy.deny(request.user, verb, person, policy.refusal(request.user, verb, person))


class GuardingMixin:
    """For the admin of people."""

    def get_object(self, request: HttpRequest, object_id: Any, from_field: str | None = None) -> User | None:
        """By a plain number alone: what Django too takes for one (_2B5 is +5) would be somebody there, nobody here."""
        if not str(object_id).isdecimal():
            return None
        found: User | None = super().get_object(request, object_id, from_field)  # type: ignore[misc]
        return found

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        may = super().has_change_permission(request, obj)  # type: ignore[misc]
        return may and (obj is None or not refusal(request, "change", obj))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        may = super().has_delete_permission(request, obj)  # type: ignore[misc]
        return may and (obj is None or not refusal(request, "delete", obj))

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        return (*super().get_readonly_fields(request, obj), *policy.locked_fields(request.user, obj))  # type: ignore[misc]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Only what this actor could grant: anything else that is posted is no valid choice."""
        field = super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]
        if field is not None:
            grantable = {"groups": policy.grantable_groups, "user_permissions": policy.powers}[db_field.name]
            field.queryset = field.queryset.filter(pk__in=grantable(request.user))
        return field

    def changeform_view(self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """Refuses outside of the transaction, which would take the trace back with it."""
        view = super().changeform_view  # type: ignore[misc]
        if request.method != "POST":
            return view(request, object_id, *args, **kwargs)
        person: User | None = self.get_object(request, object_id) if object_id else None  # type: ignore[attr-defined]
        if person is not None:
            self.refuse(request, "change", person)
        self.trace_attempts(request, person)
        try:
            return self.holding(request, person, lambda: view(request, object_id, *args, **kwargs))
        except LastSuperuser as error:  # Somebody else has removed the other one a moment ago.
            messages.error(request, error.messages[0])
            return view(as_read(request), object_id, *args, **kwargs)

    def holding(
        self, request: HttpRequest, person: User | None, act: Callable[[], HttpResponse], verb: str = "change"
    ) -> HttpResponse:
        """Do what changes the person with the row held, and by the policy as it stands then.

        Otherwise a form that hashes a password, while a superuser changes the same person, would write back what it
        has read before, or be carried out on somebody who has been given more power meanwhile.
        """
        if person is None:
            return act()
        with transaction.atomic():
            held = User.objects.select_for_update(no_key=True).filter(pk=person.pk).first()
            why = policy.refusal(request.user, verb, held) if held is not None else ""
            if not why:
                return act()
        policy.deny(request.user, verb, person, why)
        raise PermissionDenied(_(why))

    def refuse(self, request: HttpRequest, verb: str, person: User) -> None:
        """Leave a trace and raise PermissionDenied where the policy does not allow this."""
        why = refusal(request, verb, person)
        if why:
            policy.deny(request.user, verb, person, why)
            raise PermissionDenied(_(why))

    def trace_attempts(self, request: HttpRequest, person: User | None) -> None:
        """What was posted for locked fields has no effect; that somebody posted it is worth knowing."""
        locked = policy.locked_fields(request.user, person)
        tried = [name for name in locked if name in request.POST and differs(request, name, person)]
        for name, grantable in (("groups", policy.grantable_groups), ("user_permissions", policy.powers)):
            asked = set(request.POST.getlist(name))
            if name not in locked and asked - set(map(str, grantable(request.user).values_list("pk", flat=True))):
                tried.append(name)
        if tried:
            policy.deny(request.user, "grant", person, policy.LACKS_PERMISSION, fields=", ".join(tried))
            messages.warning(request, gettext_lazy("Some of what was asked for is not yours to give: it is unchanged."))

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        view = super().user_change_password  # type: ignore[misc]
        person = self.get_object(request, id)  # type: ignore[attr-defined]
        if person is not None and person.pk == request.user.pk:
            return redirect("password_change")  # Which asks for the old one: a browser left open is not enough.
        if request.method != "POST" or person is None:
            return cast("HttpResponse", view(request, id, form_url))
        self.refuse(request, "change", person)
        return self.holding(request, person, lambda: view(request, id, form_url))


def differs(request: HttpRequest, name: str, person: User | None) -> bool:
    if name in {"groups", "user_permissions"}:
        held = set() if person is None else set(map(str, getattr(person, name).values_list("pk", flat=True)))
        return set(request.POST.getlist(name)) != held
    return not (person is not None and getattr(person, name))


def as_read(request: HttpRequest) -> HttpRequest:
    request.method = "GET"
    return request
