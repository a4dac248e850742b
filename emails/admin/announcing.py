"""Tells staff which emails their click led to, with a link to each in the log."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from emails.cause import Recorded, current
from emails.kinds import label
from emails.models import State
from emails.recording import recorded_by

SEVERAL = 5  # More than these are counted instead of named.


class AnnouncingMixin:
    """For any ModelAdmin whose saves, deletions or actions lead to emails: staff read afterwards which ones."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return announce(self, request, super().changeform_view(request, *args, **kwargs))  # type: ignore[misc]

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return announce(self, request, super().delete_view(request, *args, **kwargs))  # type: ignore[misc]

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return announce(self, request, super().changelist_view(request, *args, **kwargs))  # type: ignore[misc]


def announce(admin: Any, request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Add a message for the emails that this request recorded; returns `response` as it is."""
    rows = recorded_by(current())
    if request.method != "POST" or not rows:
        return response
    current().recorded.clear()
    linked = request.user.has_perm("emails.view_emaillog")  # type: ignore[union-attr]
    if len(rows) > SEVERAL:
        text = ngettext("%d email was recorded.", "%d emails were recorded.", len(rows)) % len(rows)
        url = reverse("admin:emails_emaillog_changelist")
        link = format_html(' <a href="{}">{}</a>', url, _("See the log")) if linked else ""
        admin.message_user(request, format_html("{}{}", text, link))
        return response
    for row in rows:
        queued = row.state not in {State.SKIPPED, State.SUPPRESSED, State.FAILED}
        admin.message_user(request, words(row, queued, linked), messages.INFO if queued else messages.WARNING)
    return response


def words(row: Recorded, queued: bool, linked: bool) -> str:
    kind = label(row.kind)
    url = reverse("admin:emails_emaillog_change", args=[row.pk])
    link = format_html('<a href="{}">{}</a>', url, kind) if linked else kind
    if queued:
        return format_html(_("Email queued: {} to {}."), link, ", ".join(row.to))
    if not row.to:
        return format_html(_("Email not sent: {}. {}"), link, _(row.error))
    return format_html(_("Email not sent: {} to {}. {}"), link, ", ".join(row.to), _(row.error))
