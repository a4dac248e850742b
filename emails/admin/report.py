"""What became of mail over any days: by kind, provider, recipient's domain and reason, as pictures, figures and CSV."""

import csv
from datetime import date, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from emails import statistics, tasks
from emails.admin.display import provider_label, span
from emails.exporting import escaped
from emails.kinds import KINDS, label
from emails.models import DayCount, EmailReport
from emails.models.daycount import bounds, today
from emails.overview import BOUNCED, LOST
from emails.providers import PROVIDERS
from emails.statistics import Figures

By = DayCount.By
PATIENCE = 2.0  # Seconds in which the page counts days that nobody has counted yet.
WINDOWS = (7, 30, 90, 365)  # Days, as links.
LONGEST = 3660  # Days.
COUNTING, ASKED = "emails.report.counting", "emails.report.asked"
SHOWN = 25  # Rows of a table; the file has all.
WIDTH, HEIGHT = 110, 12  # Of a row's picture.
TITLES = {
    By.KIND: gettext_lazy("By kind"),
    By.PROVIDER: gettext_lazy("By provider"),
    By.DOMAIN: gettext_lazy("By the recipient’s domain"),
}
COLUMNS = ("by", "value", "all", "left", "delivered", "bounced", "complained", "lost", "median_s", "p95_s")


class WindowForm(forms.Form):
    """Which days, both included."""

    first = forms.DateField(label=gettext_lazy("From"), widget=forms.DateInput(attrs={"type": "date"}))
    last = forms.DateField(label=gettext_lazy("To"), widget=forms.DateInput(attrs={"type": "date"}))

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if "first" in given and "last" in given and not 0 <= (given["last"] - given["first"]).days < LONGEST:
            raise forms.ValidationError(_("The first day comes before the last one, by ten years at most."))
        return given


@admin.register(EmailReport)
class EmailReportAdmin(admin.ModelAdmin[EmailReport]):
    """No rows to list: a page of sums. Those see it who may see the log."""

    def get_urls(self) -> list[URLPattern]:
        """The page alone: Django's others would show the rows that it sums."""
        view = self.admin_site.admin_view(self.changelist_view)
        return [path("", view, name="emails_emailreport_changelist")]

    @method_decorator([require_http_methods(["GET", "HEAD", "POST"]), never_cache])
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        now = today()
        usual = {"first": (now - timedelta(days=29)).isoformat(), "last": now.isoformat()}
        form = WindowForm({**usual, **{name: request.GET[name] for name in usual if request.GET.get(name)}})
        if form.is_valid():
            first, last = form.cleaned_data["first"], min(form.cleaned_data["last"], now)
        else:
            first, last = date.fromisoformat(usual["first"]), now
        left = counted(first, last)
        found = statistics.of_days(first, last)
        may_export = request.user.has_perm("emails.export_emaillog")  # type: ignore[union-attr]
        if request.method == "POST" and not may_export:
            raise PermissionDenied
        if request.method == "POST" and not left:
            return as_file(request, found, first, last)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Email report"),
            "form": form,
            "first": first,
            "last": last,
            "windows": windows(first, last, now),
            "uncounted": len(left),
            "whole": row("", "", total(found[By.KIND]), first, last),
            "tables": [(title, table(by, found[by], first, last), len(found[by])) for by, title in TITLES.items()],
            "shown": SHOWN,
            "reasons": reasons(found[By.REASON]),
            "may_export": may_export,
            "here": "?" + urlencode({"first": str(first), "last": str(last)}),
            "width": WIDTH,
            "height": HEIGHT,
        }
        return TemplateResponse(request, "admin/emails/emailreport/change_list.html", context)

    def has_view_permission(self, request: HttpRequest, obj: EmailReport | None = None) -> bool:
        return request.user.has_perm("emails.view_emaillog")  # type: ignore[union-attr]

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: EmailReport | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: EmailReport | None = None) -> bool:
        return False


def counted(first: date, last: date) -> list[date]:
    """Count what is not counted of these days, one request at a time; the worker has what is left of them."""
    left = statistics.uncounted(first, last)
    if left and cache.add(COUNTING, 1, 60):
        left = statistics.ensure(first, last, PATIENCE)
        cache.delete(COUNTING)
    if left and cache.add(ASKED, 1, 60):
        tasks.enqueued(statistics.count_missing)
    return left


def windows(first: date, last: date, now: date) -> list[dict[str, Any]]:
    """Common windows as links, each up to today."""
    made = []
    for days in WINDOWS:
        begin = now - timedelta(days=days - 1)
        href = "?" + urlencode({"first": str(begin), "last": str(now)})
        made.append({"days": days, "href": href, "chosen": (first, last) == (begin, now)})
    return made


def total(figures: dict[str, Figures]) -> Figures:
    whole = Figures()
    for one in figures.values():
        whole.add(one)
    return whole


def table(by: str, figures: dict[str, Figures], first: date, last: date) -> list[dict[str, Any]]:
    """The rows of one table, the most mail first."""
    ranked = sorted(figures.items(), key=lambda item: (item[0] == "" and by == By.DOMAIN, -item[1].total))
    return [row(by, value, one, first, last) for value, one in ranked[:SHOWN]]


def row(by: str, value: str, figures: Figures, first: date, last: date) -> dict[str, Any]:
    median, slow = figures.took_at_most(0.5), figures.took_at_most(0.95)
    return {
        "name": name_of(by, value),
        "href": in_log(by, value, first, last),
        "all": figures.total,
        "left": figures.left,
        "delivered": percent(figures.percent("delivered")),
        "bounced": percent(figures.percent(*BOUNCED)),
        "complained": percent(figures.percent("complained")),
        "lost": figures.of(*LOST),
        "median": span(median) if median is not None else "–",
        "slow": span(slow) if slow is not None else "–",
        "parts": parts(figures),
        "why": next(((why or _("none was told"), number) for why, number in figures.reasons.most_common(1)), None),
    }


def name_of(by: str, value: str) -> str:
    if by == By.KIND:
        return label(value)
    if by == By.PROVIDER:
        return provider_label(value, _("Handed to none"))
    return value or _("All others")


def in_log(by: str, value: str, first: date, last: date) -> str:
    """The messages that a row is about, where the log has a filter for them."""
    # With their zone: the log reads days in the reader's, the report has those of the site.
    days = f"after:{bounds(first)[0].isoformat()} before:{bounds(last)[1].isoformat()}"
    chosen: dict[str, str] = {}
    if by == By.KIND and (not value or value in KINDS):
        chosen = {"kind": value or "other"}
    elif by == By.PROVIDER and value in PROVIDERS:
        chosen = {"provider": value}
    return f"{reverse('admin:emails_emaillog_changelist')}?{urlencode({**chosen, 'q': days})}" if chosen else ""


def percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1f} %"


def parts(figures: Figures) -> list[dict[str, Any]]:
    """The row's picture: delivered, without a report, lost, side by side in whole pixels."""
    lost, delivered = figures.of(*LOST), figures.of("delivered")
    shares = {"delivered": delivered, "other": figures.of("sent", "deferred"), "lost": lost}
    whole, x, made = sum(shares.values()), 0, []
    for name, number in shares.items():
        if number:
            width = max(1, round(WIDTH * number / whole))
            made.append({"name": name, "x": x, "width": min(width, WIDTH - x)})
            x += width
    return made


def reasons(figures: dict[str, Figures]) -> list[tuple[str, int]]:
    ranked = sorted(figures.items(), key=lambda item: (item[0] == "", -item[1].total))
    return [(value or _("Others, or none was told"), one.total) for value, one in ranked[:SHOWN]]


def as_file(request: HttpRequest, found: dict[str, dict[str, Figures]], first: date, last: date) -> HttpResponse:
    """All rows as CSV, safe in a spreadsheet; that it was taken is kept."""
    LogEntry.objects.create(
        user_id=int(request.user.pk or 0),
        content_type=ContentType.objects.get_for_model(EmailReport, for_concrete_model=False),
        object_repr=_("Exported"),
        action_flag=CHANGE,
        change_message=f"{first} {last}",
    )
    headers = {"Content-Disposition": f'attachment; filename="emails-{first}-{last}.csv"', "Cache-Control": "no-store"}
    response = HttpResponse("\ufeff", content_type="text/csv; charset=utf-8", headers=headers)
    writer = csv.writer(response, quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    for by, figures in found.items():
        for value, one in sorted(figures.items(), key=lambda item: -item[1].total):
            numbers: list[Any] = [one.total, one.left, one.of("delivered"), one.of(*BOUNCED), one.of("complained")]
            took = [one.took_at_most(0.5), one.took_at_most(0.95)]
            numbers += [one.of(*LOST), *("" if seconds is None else round(seconds, 1) for seconds in took)]
            writer.writerow([by, escaped(value), *numbers])
    return response
