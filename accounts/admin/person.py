from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Lower
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import lifecycle, policy
from accounts.admin.acting import TO_MANY, ActingMixin, buttons
from accounts.admin.batches import BatchesMixin
from accounts.admin.files import FilesMixin, export
from accounts.admin.foreseeing import ForeseeingMixin, locked
from accounts.admin.guarding import GuardingMixin, refusal
from accounts.admin.states import (
    AddressFilter,
    GroupFilter,
    RoleFilter,
    StateFilter,
    invited_until,
    role,
    state_badge,
    with_state,
)
from accounts.forms import PersonAddForm, PersonChangeForm
from accounts.models import PersonEvent, User
from accounts.timeline import FEW, MANY, last_emails, timeline
from emails.admin.announcing import AnnouncingMixin, announce
from emails.admin.display import badge, moment, toned
from emails.admin.paging import CappedPaginator
from emails.cause import suppress_emails
from emails.models import EmailKindSwitch, EmailLog, Suppression
from emails.payload import storable

Type = PersonEvent.Type


@admin.register(User)
class PersonAdmin(
    AnnouncingMixin, GuardingMixin, ForeseeingMixin, FilesMixin, BatchesMixin, ActingMixin, UserAdmin[User]
):
    form = PersonChangeForm
    add_form = PersonAddForm
    add_form_template = None
    change_list_template = "admin/accounts/user/change_list.html"
    change_form_template = "admin/accounts/user/change_form.html"
    change_user_password_template = "admin/accounts/user/change_password.html"  # noqa: S105
    list_display = ("person", "email_cell", "emails", "state_cell", "seen")
    list_filter = (StateFilter, RoleFilter, AddressFilter, GroupFilter)
    list_per_page = 50
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    search_help_text = _("Searches the beginnings of usernames, names and addresses.")
    readonly_fields = ("password_state", "last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password_state")}),
        (_("Person"), {"fields": ("first_name", "last_name", "email", "language")}),
        (_("Access"), {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        (_("Dates"), {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (None, {"fields": ("username", "email", "first_name", "last_name", "language")}),
        (_("Access"), {"fields": ("is_staff", "groups")}),
        (
            _("Password"),
            {
                "fields": ("send_invitation", "password1", "password2"),
                "description": _("Invited people set a password themselves. You may also choose one for them."),
            },
        ),
    )
    filter_horizontal = ()
    actions = (*TO_MANY, export)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        people: QuerySet[User] = super().get_queryset(request)
        if request.resolver_match is None or not str(request.resolver_match.url_name).endswith("_changelist"):
            return people
        emails = EmailLog.objects.order_by().filter(user=OuterRef("pk")).values("user").annotate(n=Count("pk"))
        return with_state(people).annotate(email_count=Coalesce(Subquery(emails.values("n")), 0))

    def get_list_display(self, request: HttpRequest) -> Any:
        """Without the way into the log for those who may not see it."""
        may_see = request.user.has_perm("emails.view_emaillog")  # type: ignore[union-attr]
        return [name for name in self.list_display if may_see or name != "emails"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[User], search_term: str
    ) -> tuple[QuerySet[User], bool]:
        """Every word begins a name, the username or the address: what an index finds among a million people."""
        names = ("username", "first_name", "last_name", "email")
        queryset = queryset.alias(**{f"lower_{name}": Lower(name) for name in names})
        for word in search_term.lower().split()[:8]:
            fits = Q()
            for name in names:
                fits |= Q(**{f"lower_{name}__startswith": word})
            queryset = queryset.filter(fits)
        return queryset, False

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """The filters alone: look-ups of hidden or related fields would tell what may not be read, hash by hash."""
        return lookup in {"state", "role", "address", "group"}

    @admin.display(description=_("email address"), ordering="email")
    def email_cell(self, person: Any) -> str:
        if not person.barred:
            return str(person.email)
        return format_html("{} {}", person.email, toned("bad", str(Suppression.Reason(person.barred).label)))

    @admin.display(description=_("state"))
    def state_cell(self, person: Any) -> str:
        return format_html("{} {}", state_badge(person), invited_until(person) if person.state == "invited" else "")

    @admin.display(description=_("person"), ordering="username")
    def person(self, person: User) -> str:
        """With the role, where it is more than a user's."""
        more = [person.get_full_name(), role(person) if person.is_staff or person.is_superuser else ""]
        return format_html(
            '<span class="person-username">{}</span> <span class="person-name">{}</span>',
            person.username,
            " · ".join(words for words in more if words),
        )

    @admin.display(description=_("last seen"), ordering="last_login")
    def seen(self, person: User) -> str:
        return moment(person.last_login) if person.last_login else "–"

    @admin.display(description=_("emails"))
    def emails(self, person: Any) -> str:
        url = reverse("admin:emails_emaillog_changelist")
        return format_html('<a href="{}?user__exact={}">{}</a>', url, person.pk, person.email_count)

    @admin.display(description=_("password"))
    def password_state(self, person: User) -> str:
        return gettext("Set.") if person.has_usable_password() else gettext("Not set.")

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Whoever is invited gets the invitation in place of the welcome."""
        may = request.user.has_perm(policy.NEEDS["invite"])  # type: ignore[union-attr]
        invited = may and not change and form.cleaned_data.get("send_invitation") and not obj.has_usable_password()
        if invited and "invitation" not in EmailKindSwitch.enabled_keys():  # They would be told nothing, and wait.
            messages.warning(request, gettext("Invitations are switched off: the welcome is sent instead."))
            invited = False
        if not invited:
            super().save_model(request, obj, form, change)
            if change:
                note_change(request, obj, form)
            return
        with suppress_emails(lifecycle.INVITED_INSTEAD, kinds=["welcome"]):
            super().save_model(request, obj, form, change)
        lifecycle.invite(obj)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Without the invitation for those who may not invite."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is not None or request.user.has_perm("accounts.invite_user"):  # type: ignore[union-attr]
            return fieldsets
        return (*self.add_fieldsets[:2], (_("Password"), {"fields": ("password1", "password2")}))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        person = kwargs.get("obj") or context.get("original")
        context["locked"] = locked(request, person)
        if person is not None:
            sees = request.user.has_perm("emails.view_emaillog")  # type: ignore[union-attr]
            emails = last_emails(person, 5) if sees else []
            state: Any = with_state(User.objects.filter(pk=person.pk)).get()
            why = refusal(request, "change", person)
            context |= {
                "state": state_badge(state),
                "barred": state.barred and Suppression.Reason(state.barred).label,
                "expires": invited_until(person) if state.state == "invited" else "",
                "why_not": gettext(why) if why else "",
                "buttons": buttons(request, person),
                "last_emails": [(email, badge(email.status, email.status_label)) for email in emails],
                "timeline": timeline(person, FEW, emails=sees),
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """The whole timeline, in place of Django's history, which tells no values and dies with its author."""
        person = self.get_object(request, object_id)
        if person is None:
            raise Http404
        if not self.has_view_permission(request, person):
            raise PermissionDenied
        sees = request.user.has_perm("emails.view_emaillog")  # type: ignore[union-attr]
        entries = timeline(person, MANY + 1, emails=sees, before=moment_of(request.GET.get("before", "")))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": person,
            "title": person.label,
            "timeline": entries[:MANY],
            "older": entries[MANY - 1].at.isoformat() if len(entries) > MANY else "",
        }
        return TemplateResponse(request, "admin/accounts/user/timeline.html", context)

    def user_change_password(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return announce(self, request, super().user_change_password(request, *args, **kwargs))


def note_change(request: HttpRequest, person: User, form: Any) -> None:
    """What the buttons note as well: the account was disabled or enabled; else the reason, where one was given."""
    reason = storable(request.POST.get("reason", "").strip()[:500])
    if "is_active" in form.changed_data:
        PersonEvent.note(Type.ENABLED if person.is_active else Type.DISABLED, person, reason=reason)
    elif reason and form.changed_data:
        PersonEvent.note(Type.CHANGED, person, reason=reason)


def moment_of(text: str) -> datetime | None:
    """The time that the address of an older page names."""
    try:
        found = parse_datetime(text)
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None
