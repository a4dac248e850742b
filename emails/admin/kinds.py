from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from emails.models import EmailKindSwitch


@admin.register(EmailKindSwitch)
class EmailKindSwitchAdmin(admin.ModelAdmin[EmailKindSwitch]):
    """One row a kind, made from the code: staff switch kinds on and off, and nothing else."""

    list_display = ("kind_label", "when", "enabled")
    list_display_links = None
    list_editable = ("enabled",)
    actions = None
    list_per_page = 200

    @admin.display(description=_("kind"))
    def kind_label(self, switch: EmailKindSwitch) -> str:
        if switch.kind is None:
            return switch.key
        must = format_html(" <small>({})</small>", _("always on")) if switch.kind.required else ""
        return format_html("<strong>{}</strong>{}", switch.kind.label, must)

    @admin.display(description=_("sent when"))
    def when(self, switch: EmailKindSwitch) -> str:
        return str(switch.kind.when) if switch.kind else str(_("No longer used."))

    def get_changelist_formset(self, request: HttpRequest, **kwargs: Any) -> Any:
        """Locks the switches of kinds that can't be off, whatever is posted for them."""
        formset: Any = super().get_changelist_formset(request, **kwargs)

        class Formset(formset):  # type: ignore[misc]
            def add_fields(self, form: Any, index: int | None) -> None:
                super().add_fields(form, index)
                if form.instance.kind is not None and form.instance.kind.required:
                    form.fields["enabled"].disabled = True
                form.fields["enabled"].widget.attrs["aria-label"] = (
                    form.instance.kind.label if form.instance.kind else form.instance.key
                )

        return Formset

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """There is no page of one kind: all that can be changed of it stands in the list."""
        return redirect("admin:emails_emailkindswitch_changelist")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # Kinds come from the code.

    def has_delete_permission(self, request: HttpRequest, obj: EmailKindSwitch | None = None) -> bool:
        return False
