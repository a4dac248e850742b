from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.forms import PersonAddForm, PersonChangeForm
from accounts.models import User
from emails.admin.announcing import AnnouncingMixin, announce
from emails.models import EmailLog


@admin.register(User)
class PersonAdmin(AnnouncingMixin, UserAdmin[User]):
    form = PersonChangeForm
    add_form = PersonAddForm
    add_form_template = None
    list_display = ("username", "email", "emails", "full_name", "is_active", "is_staff")
    list_filter = ("is_active", "is_staff", "is_superuser", "groups", "language")
    list_per_page = 50
    show_full_result_count = False
    search_help_text = _("Searches usernames, names and email addresses.")
    readonly_fields = ("password_state", "last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password_state")}),
        (_("Person"), {"fields": ("first_name", "last_name", "email", "language")}),
        (_("Access"), {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        (_("Dates"), {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (None, {"fields": ("username", "email", "first_name", "last_name", "language")}),
        (
            _("Password"),
            {
                "fields": ("password1", "password2"),
                "description": _("Optional: a person without a password can't sign in until one is set."),
            },
        ),
    )
    actions = ("activate", "deactivate")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        emails = EmailLog.objects.order_by().filter(user=OuterRef("pk")).values("user").annotate(n=Count("pk"))
        people: QuerySet[User] = super().get_queryset(request)
        if request.resolver_match is None or not str(request.resolver_match.url_name).endswith("_changelist"):
            return people
        return people.annotate(email_count=Coalesce(Subquery(emails.values("n")), 0))

    def get_list_display(self, request: HttpRequest) -> Any:
        """Without the way into the log for those who may not see it."""
        may_see = request.user.has_perm("emails.view_emaillog")  # type: ignore[union-attr]
        return [name for name in self.list_display if may_see or name != "emails"]

    @admin.display(description=_("name"), ordering="last_name")
    def full_name(self, person: User) -> str:
        return person.get_full_name()

    @admin.display(description=_("emails"))
    def emails(self, person: Any) -> str:
        url = reverse("admin:emails_emaillog_changelist")
        return format_html('<a href="{}?user__exact={}">{}</a>', url, person.pk, person.email_count)

    @admin.display(description=_("password"))
    def password_state(self, person: User) -> str:
        text, link = (_("Set."), _("Change it")) if person.has_usable_password() else (_("Not set."), _("Set one"))
        return format_html(
            '{} <a href="{}">{}</a>', text, reverse("admin:auth_user_password_change", args=[person.pk]), link
        )

    # Every save and every deletion goes through the model, one person after the other: a bulk update sends no signal.

    @admin.action(description=_("Deactivate selected people"), permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self.set_active(request, queryset, False)

    @admin.action(description=_("Activate selected people"), permissions=["change"])
    def activate(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self.set_active(request, queryset, True)

    def set_active(self, request: HttpRequest, queryset: QuerySet[User], active: bool) -> None:
        count = 0
        for person in queryset.exclude(is_active=active).order_by("pk").iterator():
            person.is_active = active
            with transaction.atomic():
                person.save(update_fields=["is_active"])
                self.log_change(request, person, [{"changed": {"fields": ["is_active"]}}])
            count += 1
        changed = ngettext("%d person was changed.", "%d people were changed.", count) % count
        self.message_user(request, changed)

    def user_change_password(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return announce(self, request, super().user_change_password(request, *args, **kwargs))


admin.site.unregister(Group)


@admin.register(Group)
class AnnouncingGroupAdmin(AnnouncingMixin, GroupAdmin):
    """Django's own, which also tells whom the deletion of a group has told."""
