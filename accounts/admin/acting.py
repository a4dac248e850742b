"""Buttons and bulk actions: each shows first what it will do to whom and which emails go out, and is done by POST."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import batches, links, policy
from accounts.actions import ACTIONS, Action, carry_out
from accounts.admin.guarding import deny_beyond, refusal
from accounts.forecast import Forecast, forecast
from accounts.models import Batch, User
from accounts.unticking import unticking
from emails.admin.announcing import announce
from emails.cause import current
from emails.payload import storable

AT_ONCE = 20  # More people than these are left to a worker, whose progress can be watched.


def buttons(request: HttpRequest, person: User) -> list[dict[str, Any]]:
    """What this actor may do to this person as it stands with them."""
    fitting = [
        action
        for action in ACTIONS.values()
        if action.verb != "delete"  # Django's own page has that one.
        and not refusal(request, action.verb, person)
        and User.objects.filter(action.fits(), pk=person.pk).exists()
    ]
    again = links.is_open(person)
    found = [
        {
            "label": _("Send invitation again") if again and action.verb == "invite" else action.label,
            "url": reverse("admin:accounts_user_act", args=[person.pk, action.verb]),
        }
        for action in fitting
    ]
    if not refusal(request, "change", person):
        label = _("Change the password") if person.has_usable_password() else _("Set a password")
        found.append({"label": label, "url": reverse("admin:auth_user_password_change", args=[person.pk])})
    return found


class ActingMixin(admin.ModelAdmin[User]):
    """For the admin of people."""

    def get_urls(self) -> list[URLPattern]:
        act = self.admin_site.admin_view(self.act_view)
        return [
            path("<int:pk>/act/<slug:verb>/", act, name="accounts_user_act"),
            *super().get_urls(),
        ]

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> dict[str, Any]:
        """All that this actor may do to anybody; Django's own deletion asks neither the policy nor for a reason."""
        where = {} if action_location is None else {"action_location": action_location}  # Since Django 6.1.
        known: dict[str, Any] = super().get_actions(request, **where)
        return {
            name: action
            for name, action in known.items()
            if name in policy.NEEDS and request.user.has_perm(policy.NEEDS[name])  # type: ignore[union-attr]
        }

    def act_view(self, request: HttpRequest, pk: int, verb: str) -> HttpResponse:
        """One action on one person: GET asks, POST does it."""
        person, action = self.get_object(request, str(pk)), ACTIONS.get(verb)
        if person is None or action is None:
            raise Http404
        if request.method == "POST":
            self.refuse(request, verb, person)  # type: ignore[attr-defined]
        elif why := refusal(request, verb, person):
            raise PermissionDenied(_(why))
        chosen = User.objects.filter(pk=pk)
        back = reverse("admin:accounts_user_change", args=[pk])
        return announce(self, request, self.ask_or_do(request, action, chosen, [], back))

    def ask_or_do(
        self, request: HttpRequest, action: Action, chosen: QuerySet[User], hidden: list[tuple[str, str]], back: str
    ) -> HttpResponse:
        ahead = forecast(request.user, action, chosen)
        reason = storable(request.POST.get("reason", "").strip()[:500])
        confirmed = request.method == "POST" and "confirm" in request.POST
        if confirmed:
            deny_beyond(request, action.verb, User.objects.filter(pk__in=chosen.order_by().values("pk")))
        if confirmed and ahead.count and (reason or not action.needs_reason):
            pks = [person.pk for person in ahead.some]
            done = self.do(request, action, ahead, reason)
            here = User.objects.filter(pk__in=pks).exists()
            return done or redirect(back if here else self.list_url)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": action.label,
            "action": action,
            "ahead": ahead,
            "more": ahead.count - len(ahead.some),
            "hidden": hidden,
            "back": back,
            "reason_missing": confirmed and bool(ahead.count),
        }
        return TemplateResponse(request, "admin/accounts/user/act.html", context)

    @property
    def list_url(self) -> str:
        return reverse("admin:accounts_user_changelist")

    def do(self, request: HttpRequest, action: Action, ahead: Forecast, reason: str) -> HttpResponse | None:
        """Act now, or have a worker do so; returns where to go to watch it, or None."""
        ticks = set(request.POST.getlist("email_kinds"))
        # A kind that is off had no tick to take away: the log says that it is off.
        choice = [mails.key for mails in ahead.mails if not (mails.required or mails.off)]
        unticked = [key for key in choice if key not in ticks]
        keys = list(ahead.people.order_by("pk").values_list("pk", flat=True))
        batch = Batch(
            what=action.verb,
            actor_id=request.user.pk,
            actor_label=str(request.user),
            cause=current().text,
            reason=reason,
            options={"unticked": unticked},
        )
        if len(keys) > AT_ONCE:
            batch.begin(keys)
            batches.wake()
            return redirect(batch)
        people = list(ahead.people.order_by("pk"))
        done = 0
        with unticking(unticked):
            for person in people:
                try:
                    why = carry_out(action, request.user, person, reason)
                    if why:
                        policy.deny(request.user, action.verb, person, why)
                        messages.error(request, f"{person}: {_(why)}")
                        continue
                    if action.verb != "delete":
                        self.log_change(request, person, f"{action.label}. {reason}".strip())
                    done += 1
                except ValidationError as error:
                    messages.error(request, f"{person}: {error.messages[0]}")
        said = ngettext("%(action)s: done for %(n)d person.", "%(action)s: done for %(n)d people.", done)
        messages.success(request, said % {"action": action.label, "n": done})
        return None


def to_many(action: Action) -> Callable[..., HttpResponse]:
    """The bulk action: the page that asks posts the choice again, as Django's own deletion does."""

    def act(admin: Any, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse:
        hidden = [("action", action.verb), ("select_across", request.POST.get("select_across", "0"))]
        hidden += [("_selected_action", key) for key in request.POST.getlist("_selected_action")]
        response: HttpResponse = admin.ask_or_do(request, action, queryset, hidden, request.get_full_path())
        return response

    act.__name__ = action.verb
    return admin.action(description=action.many)(act)


TO_MANY = tuple(to_many(action) for action in ACTIONS.values())
