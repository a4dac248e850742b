from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts import policy
from emails.admin.announcing import AnnouncingMixin

BEYOND = gettext_noop("This group has permissions that you lack, or you or people beyond your reach are in it.")

admin.site.unregister(Group)


@admin.register(Group)
class PersonGroupAdmin(AnnouncingMixin, GroupAdmin):
    """Django's own, held to the policy: nobody gives a group, or takes from one, what they lack themselves.

    Nor do they change what the group's members may do where they could not change it in the member.
    """

    filter_horizontal = ()
    delete_confirmation_template = "admin/accounts/group/delete_confirmation.html"
    change_form_template = "admin/accounts/group/change_form.html"
    actions = None  # One by one, where it is said whom it is told to.

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Group | None:
        """By a plain number alone, as with people (accounts/admin/guarding.py)."""
        return super().get_object(request, object_id, from_field) if str(object_id).isdecimal() else None

    def may_touch(self, request: HttpRequest, group: Group | None) -> bool:
        return group is None or policy.editable_groups(request.user).filter(pk=group.pk).exists()

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_change_permission(request, obj) and self.may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_delete_permission(request, obj) and self.may_touch(request, obj)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        return False  # ?user__exact=5 would tell the groups of a person whom one may not see.

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any) -> Any:
        field: Any = super().formfield_for_manytomany(db_field, request, **kwargs)
        if field is not None and db_field.name == "permissions":
            field.queryset = field.queryset.filter(pk__in=policy.powers(request and request.user))
        return field

    def changeform_view(self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """Refuses, outside of the transaction that would take the trace back, what would be refused anyway."""
        group = self.get_object(request, object_id) if object_id else None
        if request.method == "POST":
            asked = {key for key in request.POST.getlist("permissions") if key.isdecimal()}
            granted = set(map(str, policy.powers(request.user).values_list("pk", flat=True)))
            if not self.may_touch(request, group):
                policy.deny(request.user, "change", None, BEYOND, group=group and group.name)
                raise PermissionDenied(_(BEYOND))
            if asked - granted:
                policy.deny(request.user, "grant", None, policy.LACKS_PERMISSION, group=group and group.name)
        return super().changeform_view(request, object_id, *args, **kwargs)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        group = kwargs.get("obj")
        members = group.user_set.count() if group is not None else 0
        return super().render_change_form(request, {**context, "members": members}, *args, **kwargs)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        group = self.get_object(request, object_id)
        extra_context = {"members": group.user_set.count() if group is not None else 0, **(extra_context or {})}
        if request.method == "POST" and not self.may_touch(request, group):
            policy.deny(request.user, "delete", None, BEYOND, group=group and group.name)
        return super().delete_view(request, object_id, extra_context)
