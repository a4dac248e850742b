"""People in and out as files: an upload that is checked and looked at first, and an export that leaves a trace."""

import csv
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import batches, importing, policy, spreadsheets
from accounts.admin.guarding import deny_beyond
from accounts.models import PersonEvent, User
from accounts.resources import COLUMNS, PersonResource
from emails.admin.paging import MOST as MANY
from emails.cause import current

FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
MOST = 100_000  # People in one export.


def may_import(request: HttpRequest) -> bool:
    return request.user.has_perms(["accounts.add_user", "accounts.change_user"])  # type: ignore[union-attr]


class FilesMixin(admin.ModelAdmin[User]):
    """For the admin of people."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.import_view)
        return [path("import/", view, name="accounts_user_import"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return super().changelist_view(
            request, {"may_import": may_import(request), "most": MANY, **(extra_context or {})}
        )

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """Takes a file and has it checked; nothing is saved yet."""
        if not may_import(request):
            raise PermissionDenied
        problem = ""
        if request.method == "POST":
            upload = request.FILES.get("file")
            try:
                if upload is None or (upload.size or 0) > spreadsheets.BYTES:
                    raise spreadsheets.Unreadable(_("Choose a file of at most 10 MB."))
                rows = spreadsheets.read(upload.name or "", upload.read())
                batch = importing.begin(rows, request.user, current().text)
                batches.wake()
                return redirect(batch)
            except spreadsheets.Unreadable as error:
                problem = str(error)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Import people"),
            "columns": COLUMNS,
            "problem": problem,
        }
        return TemplateResponse(request, "admin/accounts/user/import.html", context, status=400 if problem else 200)


@admin.action(description=gettext_lazy("Export selected people"))
def export(admin: Any, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse:
    """A bulk action: asks for the format, then hands the file out, which stands in the log of events."""
    chosen = User.objects.filter(pk__in=queryset.order_by().values("pk"))
    people = policy.permitted(request.user, "export", chosen)
    count, kind = people.count(), request.POST.get("format", "")
    if "confirm" in request.POST:
        deny_beyond(request, "export", chosen)
    if "confirm" in request.POST and kind in FORMATS and 0 < count <= MOST:
        data = PersonResource().export(people.order_by("username").prefetch_related("groups"))
        # By what was filtered; what was searched for may be somebody's name.
        filters = {name: str(value) for name, value in request.GET.items() if name != "q"}
        PersonEvent.note(PersonEvent.Type.EXPORTED, None, count=count, filter=urlencode(filters, doseq=True)[:500])
        name = f"people-{timezone.localdate():%Y-%m-%d}.{kind}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        # With its mark, without which Excel takes UTF-8 for Latin-1.
        content = data.export("xlsx") if kind == "xlsx" else "\ufeff" + data.export("csv", quoting=csv.QUOTE_ALL)
        return HttpResponse(content, content_type=FORMATS[kind], headers=headers)
    context = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "title": _("Export people"),
        "count": count,
        "skipped": chosen.count() - count,
        "too_many": count > MOST,
        "formats": list(FORMATS),
        "selected": request.POST.getlist("_selected_action"),
        "across": request.POST.get("select_across", "0"),
    }
    return TemplateResponse(request, "admin/accounts/user/export.html", context)
