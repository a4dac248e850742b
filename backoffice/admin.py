from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _


class BackofficeAdminSite(admin.AdminSite):
    site_header = _("Backoffice")
    site_title = _("Backoffice")
    index_title = _("People and what they are told")
    first = ("accounts", "emails")  # What staff come for stands before Django's own apps.
    site_url = None  # There is no site beside the admin.
    # Who may add a device to another's account, or read its key, would be that other; people's pages do it safely.
    hidden = ("otp_totp", "axes")

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        if getattr(getattr(model_or_iterable, "_meta", None), "app_label", "") not in self.hidden:
            super().register(model_or_iterable, admin_class, **options)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        return {**super().each_context(request), "email_redirect": settings.EMAILS["REDIRECT_TO"]}

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:  # type: ignore[override]
        return redirect("password_change")  # Which counts wrong passwords, and holds the row while it hashes.

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        apps = super().get_app_list(request, app_label)
        return sorted(apps, key=lambda app: self.first.index(app["app_label"]) if app["app_label"] in self.first else 9)
