"""Tells staff which emails their click led to, with a link to each in the log."""

from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from emails.cause import current
from emails.models import EmailLog, State

SEVERAL = 5  # More than these are counted instead of named.


def announce(admin: "ModelAdmin[Any]", request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Add a message for the emails that this request recorded; returns `response` as it is."""
    recorded = current().recorded
    if request.method != "POST" or not recorded:
        return response
    rows = EmailLog.objects.without_bodies().filter(ref__in=recorded).order_by("pk")
    linked = request.user.has_perm("emails.view_emaillog")  # type: ignore[union-attr]
    emails = list(rows.prefetch_related("recipients")[: SEVERAL + 1])
    if len(emails) > SEVERAL:
        text = ngettext("%d email was recorded.", "%d emails were recorded.", len(recorded)) % rows.count()
        url = reverse("admin:emails_emaillog_changelist")
        admin.message_user(
            request, format_html('{} <a href="{}">{}</a>', text, url, _("See the log")) if linked else text
        )
    else:
        for email in emails:
            queued = email.state not in {State.SKIPPED, State.SUPPRESSED, State.FAILED}
            admin.message_user(request, words(email, queued, linked), messages.INFO if queued else messages.WARNING)
    recorded.clear()
    return response


def words(email: EmailLog, queued: bool, linked: bool) -> str:
    link = (
        format_html('<a href="{}">{}</a>', email.get_absolute_url(), email.kind_label) if linked else email.kind_label
    )
    to = ", ".join(recipient.formatted for recipient in email.recipients.all())
    if queued:
        return format_html(_("Email queued: {} to {}."), link, to)
    return format_html(_("Email not sent: {}. {}"), link, email.error)
