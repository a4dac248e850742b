"""See before you send: which emails a save or a deletion will lead to, for staff to read, and to untick.

What will be sent is not guessed: the save is made, its emails are read, and all of it is rolled back.
"""

from typing import Any

from django.contrib import messages
from django.contrib.messages.storage import default_storage
from django.db import router, transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from accounts import emails, policy
from accounts.actions import ACTIONS
from accounts.admin.guarding import as_read
from accounts.forecast import forecast
from accounts.models import LastSuperuser, PersonEvent, User
from accounts.samples import sample
from accounts.story import enabled_kinds
from accounts.unticking import unticking
from emails.admin import preview
from emails.cause import current
from emails.kinds import KINDS, EmailKind
from emails.models import EmailLog
from emails.payload import storable
from emails.recording import recorded_by

ON_CREATION = (emails.WELCOME,)
ON_CHANGE = (
    emails.UPDATE_NOTICE,
    emails.ACCOUNT_UPDATED,
    emails.EMAIL_CHANGED,
    emails.ACCESS_CHANGED,
    emails.DEACTIVATED,
    emails.REACTIVATED,
)
ON_DELETION = (emails.DELETION_NOTICE, emails.ACCOUNT_DELETED)


class ForeseeingMixin:
    """For the admin of people."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.sample_view)  # type: ignore[attr-defined]
        return [path("emails/<slug:kind>/", view, name="accounts_user_sample"), *super().get_urls()]  # type: ignore[misc]

    def sample_view(self, request: HttpRequest, kind: str) -> HttpResponse:
        """An email of this kind as it looks, about a person who does not exist."""
        if kind not in KINDS or not self.has_view_permission(request):  # type: ignore[attr-defined]
            return HttpResponse(status=404)
        return preview.framed(sample(KINDS[kind]))

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        kinds = ON_CHANGE if object_id else ON_CREATION
        context = {"offered": offered(request, kinds), **(extra_context or {})}
        view = super().changeform_view  # type: ignore[misc]
        with unticking(unticked(request, kinds)):
            if request.method != "POST" or "_foresee" not in request.POST:
                response: HttpResponse = view(request, object_id, form_url, context)
                return response
            return self.foresee(request, lambda: view(request, object_id, form_url, context))

    def foresee(self, request: HttpRequest, save: Any) -> HttpResponse:
        # What the form says of it has not happened: into a store that nobody reads.
        kept, request._messages = request._messages, default_storage(request)  # type: ignore[attr-defined]
        with transaction.atomic():
            response: HttpResponse = save()
            refs = [recorded.ref for recorded in recorded_by(current())]
            found = list(EmailLog.objects.filter(ref__in=refs).prefetch_related("recipients").order_by("pk"))
            transaction.set_rollback(True)
        request._messages = kept  # type: ignore[attr-defined]
        current().recorded.clear()
        if response.status_code != 302:
            return response  # The form, with its errors.
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "opts": self.opts,  # type: ignore[attr-defined]
            "title": _("Before you save"),
            "emails": found,
            "bodies": request.user.has_perm("emails.view_email_body"),  # type: ignore[union-attr]
            "posted": [
                (name, value)
                for name, values in request.POST.lists()
                if name not in {"csrfmiddlewaretoken", "_foresee"}
                for value in values
            ],
        }
        answer = TemplateResponse(request, "admin/accounts/user/foresee.html", context)
        answer["Cache-Control"] = "no-store"  # It may hold a password that was typed.
        return answer

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        person = self.get_object(request, object_id)  # type: ignore[attr-defined]
        if request.method == "POST" and person is not None:
            self.refuse(request, "delete", person)  # type: ignore[attr-defined]
        chosen = User.objects.filter(pk=person.pk if person is not None else 0)
        ahead = forecast(request.user, ACTIONS["delete"], chosen)
        context = {"offered": offered(request, ON_DELETION), "ahead": ahead, **(extra_context or {})}
        view = super().delete_view  # type: ignore[misc]
        try:
            with unticking(unticked(request, ON_DELETION)):
                if request.method != "POST":
                    shown: HttpResponse = view(request, object_id, context)
                    return shown
                act = lambda: view(request, object_id, context)  # noqa: E731
                response: HttpResponse = self.holding(request, person, act, "delete")  # type: ignore[attr-defined]
                return response
        except LastSuperuser as error:
            messages.error(request, error.messages[0])
            again: HttpResponse = view(as_read(request), object_id, context)
            return again

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        PersonEvent.note(PersonEvent.Type.DELETED, obj, reason=storable(request.POST.get("reason", "").strip()[:500]))
        super().delete_model(request, obj)  # type: ignore[misc]


def offered(request: HttpRequest, kinds: tuple[EmailKind, ...]) -> list[dict[str, Any]]:
    """The kinds that staff can untick on this page; those that are off anyway are not among them."""
    enabled = enabled_kinds(router.db_for_write(User))
    return [{"kind": kind, "ticked": kind.key not in unticked(request, kinds)} for kind in kinds if kind.key in enabled]


def unticked(request: HttpRequest, kinds: tuple[EmailKind, ...]) -> list[str]:
    """Those of `kinds` that were on the page and came back without a tick."""
    return ticked_off(request, kinds) if request.method == "POST" and "email_choice" in request.POST else []


def ticked_off(request: HttpRequest, kinds: tuple[EmailKind, ...]) -> list[str]:
    """Those of `kinds` that were posted without a tick, and can be."""
    ticks = set(request.POST.getlist("email_kinds"))
    return [kind.key for kind in kinds if not kind.required and kind.key not in ticks]


def locked(request: HttpRequest, person: User | None) -> list[dict[str, str]]:
    """Why fields of the form are read-only, each reason once with its fields."""
    by_reason: dict[str, list[str]] = {}
    for name, why in policy.locked_fields(request.user, person).items():
        by_reason.setdefault(why, []).append(str(User._meta.get_field(name).verbose_name))  # type: ignore[union-attr]
    return [{"why": why, "fields": ", ".join(names)} for why, names in by_reason.items()]
