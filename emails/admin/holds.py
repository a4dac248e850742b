"""Legal holds: begun for a person, for a reason, and ended for a reason; neither edited nor deleted."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from emails.admin.display import badge, moment
from emails.models import LegalHold
from emails.payload import storable


@admin.register(LegalHold)
class LegalHoldAdmin(admin.ModelAdmin[LegalHold]):
    list_display = ("user_label", "condition", "since", "began_by_label", "reason", "ended")
    list_display_links = None
    list_per_page = 50
    show_full_result_count = False
    actions = None
    change_list_template = "admin/emails/legalhold/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.hold_view)
        return [path("hold/", view, name="emails_legalhold_hold"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        may = super().has_add_permission(request)
        opened = LegalHold.objects.filter(ended_at=None)[:200]
        return super().changelist_view(request, {"may_hold": may, "opened": opened, **(extra_context or {})})

    @method_decorator(require_POST)
    def hold_view(self, request: HttpRequest) -> HttpResponse:
        """Begin a hold for a person by their username, or end one, each for a reason."""
        if not super().has_add_permission(request):
            raise PermissionDenied
        reason = storable(request.POST.get("reason", "").strip()[:500])
        if not reason:
            self.message_user(
                request, gettext("Say why: a legal hold without a reason can’t be defended."), messages.ERROR
            )
        elif "end" in request.POST:
            hold = get_object_or_404(LegalHold, pk=request.POST["end"])
            done = hold.end(request.user, reason)
            self.message_user(request, gettext("The hold has ended.") if done else gettext("It had ended before."))
        else:
            self.begin(request, reason)
        return redirect("admin:emails_legalhold_changelist")

    def begin(self, request: HttpRequest, reason: str) -> None:
        people: Any = get_user_model()
        name = storable(request.POST.get("username", "").strip())
        person = people.objects.filter(**{people.USERNAME_FIELD: name}).first()
        if person is None:
            self.message_user(request, gettext("There is nobody with the username “%s”.") % name, messages.ERROR)
        elif LegalHold.begin(person, request.user, reason):
            words = gettext("Nothing about %s is purged or anonymised until the hold ends.")
            self.message_user(request, words % getattr(person, "label", person))
        else:
            self.message_user(request, gettext("There is a hold already."), messages.WARNING)

    @admin.display(description=_("state"))
    def condition(self, hold: LegalHold) -> str:
        return badge("skipped", gettext("Ended")) if hold.ended_at else badge("in_doubt", gettext("Held"))

    @admin.display(description=_("since"))
    def since(self, hold: LegalHold) -> str:
        return moment(hold.began_at)

    @admin.display(description=_("ended"))
    def ended(self, hold: LegalHold) -> str:
        return f"{hold.ended_by_label}: {hold.ended_for}" if hold.ended_at else "–"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # By the form above the list, which asks for the reason.

    def has_change_permission(self, request: HttpRequest, obj: LegalHold | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: LegalHold | None = None) -> bool:
        return False
