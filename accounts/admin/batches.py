"""Pages of what a worker does to many people: how far it is, what an import comes to, and those of the last days."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import batches, importing
from accounts.actions import ACTIONS
from accounts.admin.files import may_import
from accounts.admin.foreseeing import ticked_off
from accounts.models import Batch, User
from emails.kinds import KINDS, label

SAMPLED = {"new": gettext_lazy("New"), "changed": gettext_lazy("Changed")}
COUNTED = {
    **SAMPLED,
    "unchanged": gettext_lazy("Unchanged"),
    "invalid": gettext_lazy("Invalid"),
    "done": gettext_lazy("Done"),
    "failed": gettext_lazy("Failed"),
}
LAST = 50


def of(request: HttpRequest) -> QuerySet[Batch]:
    """Those that are this actor's to see."""
    user: Any = request.user
    return Batch.objects.all() if user.is_superuser else Batch.objects.filter(actor=user.pk)


def title(batch: Batch) -> str:
    return str(ACTIONS[batch.what].label if batch.what in ACTIONS else _("Import people"))


class BatchesMixin(admin.ModelAdmin[User]):
    """For the admin of people."""

    def get_urls(self) -> list[URLPattern]:
        one, last = self.admin_site.admin_view(self.batch_view), self.admin_site.admin_view(self.batches_view)
        return [
            path("batches/", last, name="accounts_user_batches"),
            path("batches/<int:pk>/", one, name="accounts_user_batch"),
            *super().get_urls(),
        ]

    def batches_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Imports and bulk actions"),
            "batches": [(title(batch), batch) for batch in of(request).defer("options", "problems")[:LAST]],
        }
        return TemplateResponse(request, "admin/accounts/user/batches.html", context)

    def batch_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """How far a batch is; the page comes again by itself while it goes on."""
        batch = of(request).filter(pk=pk).first()
        if batch is None:
            raise Http404
        if request.method == "POST":
            return answer(request, batch)
        mails: dict[str, int] = batch.options.get("mails", {})
        user: Any = request.user
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title(batch),
            "batch": batch,
            "samples": [
                (words, batch.options.get(key, []), batch.counts.get(key, 0) - len(batch.options.get(key, [])))
                for key, words in SAMPLED.items()
            ],
            "counts": [(COUNTED.get(name, name), number) for name, number in batch.counts.items() if number],
            "problems": sorted(batch.problems, key=lambda one: (not str(one[0]).isdecimal(), str(one[0]).zfill(9))),
            "may_invite": user.has_perm("accounts.invite_user"),
            "mails": [
                {"key": key, "label": label(key), "count": number, "required": KINDS[key].required}
                for key, number in mails.items()
                if key in KINDS
            ],
            "unsent": [(_(why) if why else "", number) for why, number in mails.items() if why not in KINDS],
            "percent": 100 * batch.done // batch.total if batch.total else 100,
        }
        response = TemplateResponse(request, "admin/accounts/user/batch.html", context)
        if batch.goes_on:
            response["Refresh"] = "2"
        return response


def answer(request: HttpRequest, batch: Batch) -> HttpResponse:
    """Staff have seen what a file comes to, and want it, or do not."""
    if not may_import(request) or batch.what != importing.IMPORT:
        raise PermissionDenied
    if "discard" in request.POST:
        done = importing.discard(batch)
    else:
        invite = "invite" in request.POST and request.user.has_perm("accounts.invite_user")  # type: ignore[union-attr]
        shown = tuple(KINDS[key] for key in batch.options.get("mails", {}) if key in KINDS)
        done = importing.confirm(batch, invite=invite, unticked=ticked_off(request, shown))
        batches.wake()
    if not done:
        messages.warning(request, _("This import was begun before."))
    return redirect(batch)
