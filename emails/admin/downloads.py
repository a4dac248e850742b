"""A message as a file, and its attachments: handed out to be saved, never to be shown by the browser."""

import re

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_safe

from emails import reading
from emails.models import EmailLog
from emails.providers import PROVIDERS, active
from emails.sending import outgoing

UNFIT = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|\u2028\u2029\u202a-\u202e\u2066-\u2069]+')  # In a file's name.


class DownloadsMixin(admin.ModelAdmin[EmailLog]):
    """For the log's admin. Both need the right to read bodies, and count as reading one."""

    def get_urls(self) -> list[URLPattern]:
        eml, attachment = self.admin_site.admin_view(self.eml_view), self.admin_site.admin_view(self.attachment_view)
        return [
            path("<int:pk>/message.eml", eml, name="emails_emaillog_eml"),
            path("<int:pk>/attachments/<int:position>/", attachment, name="emails_emaillog_attachment"),
            *super().get_urls(),
        ]

    def read(self, request: HttpRequest, pk: int) -> EmailLog:
        """The message, whose reader is noted. Raises PermissionDenied, Http404."""
        may_read = request.user.has_perm("emails.view_email_body")  # type: ignore[union-attr]
        if not (self.has_view_permission(request) and may_read):
            raise PermissionDenied
        email: EmailLog = self.found(pk)  # type: ignore[attr-defined]
        reading.note(email, request)
        return email

    @method_decorator(require_safe)
    def eml_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The message as it is handed over, but for what is secret in it; some providers add to it what is theirs."""
        email = self.read(request, pk)
        if not email.payload:
            raise Http404
        EmailLog.objects.address([email])
        message = outgoing(email, PROVIDERS.get(email.provider) or active(), marked=False)
        return saved(f"{email.ref}.eml", message.message().as_bytes())

    @method_decorator(require_safe)
    def attachment_view(self, request: HttpRequest, pk: int, position: int) -> HttpResponse:
        attachment = self.read(request, pk).attachments.filter(position=position).first()
        if attachment is None:
            raise Http404
        return saved(attachment.filename or f"attachment-{position}", bytes(attachment.content))


def saved(name: str, content: bytes) -> HttpResponse:
    """Whatever its sender called it, it is bytes to be saved (delivery by `inline` would run a page of a stranger)."""
    name = UNFIT.sub("_", name).strip(". ")[:150] or "file"
    headers = {
        "Content-Disposition": content_disposition_header(True, name) or "attachment",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "no-store",
    }
    return HttpResponse(content, content_type="application/octet-stream", headers=headers)
