"""People as rows of a file, in and out (django-import-export). A password is no column, either way."""

from typing import Any

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Lower
from django.utils.translation import gettext as _
from import_export.fields import Field
from import_export.resources import ModelResource
from import_export.widgets import BooleanWidget, ManyToManyWidget
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from accounts import policy
from accounts.lifecycle import INVITED_INSTEAD
from accounts.models import User
from emails.cause import suppress_emails
from emails.exporting import escaped, unescaped

COLUMNS = ("username", "email", "first_name", "last_name", "language", "is_active", "is_staff", "groups")
FLAGS = ("is_active", "is_staff")
SEPARATOR, NONE = "|", "-"  # Of groups; NONE takes all of them, which an empty cell does not.
YES = {"1", "true", "yes", "y", "on", "x", "wahr", "ja", "j"}
NO = {"0", "false", "no", "n", "off", "falsch", "nein"}


class NotYours(ValueError):
    """A group that the actor can't grant; the text says which."""


class FlagWidget(BooleanWidget):  # type: ignore[misc]
    """Yes or no, as spreadsheets and people write it; anything else is a mistake, and not a no."""

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> bool:
        word = str(value).strip().lower()
        if word not in YES | NO:
            raise ValueError(_("“%s” is neither yes nor no: write true or false.") % value)
        return word in YES


class GroupsWidget(ManyToManyWidget):  # type: ignore[misc]
    """Names of groups; those that the actor can't grant are refused as if they did not exist."""

    def __init__(self, grantable: QuerySet[Group]) -> None:
        super().__init__(Group, field="name", separator=SEPARATOR)
        self.known = {group.name: group for group in grantable}

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> list[Group]:
        names = [name.strip() for name in str(value or "").split(SEPARATOR) if name.strip() not in {"", NONE}]
        unknown = [name for name in names if name not in self.known]
        if unknown:
            raise NotYours(_("You can't give this group: %s") % ", ".join(unknown))
        return [self.known[name] for name in names]


class PersonResource(ModelResource):  # type: ignore[misc]
    """Rows are found by their username. An empty cell leaves a flag, the language or the groups as they are."""

    class Meta:
        model = User
        fields = COLUMNS
        import_id_fields = ("username",)
        clean_model_instances = True
        skip_unchanged = report_skipped = store_instance = skip_html_diff = True
        use_transactions = False

    def __init__(self, actor: Any = None, *, invite: bool = False) -> None:
        super().__init__()
        self.actor, self.invite = actor, invite
        grantable = policy.grantable_groups(actor) if actor is not None else Group.objects.all()
        self.fields["groups"] = Field(attribute="groups", column_name="groups", widget=GroupsWidget(grantable))
        for name in FLAGS:
            self.fields[name].widget = FlagWidget()
        self.invited: list[User] = []  # To whom an invitation is to be sent, in place of the welcome.
        self.refused: list[tuple[User, str]] = []  # What the policy forbids, in English.
        self.groups: tuple[list[str], list[str]] | None = None  # Of the row at hand: the names before and after.

    def get_queryset(self) -> QuerySet[User]:
        """While importing, rows are held from when they are read to when they are saved: what others change stays."""
        people = User.objects.all()
        return people if self.actor is None else people.select_for_update(no_key=True)

    def before_import_row(self, row: Any, **kwargs: Any) -> None:
        for name, value in list(row.items()):
            row[name] = unescaped("" if value is None else str(value).strip())
        for name in (*FLAGS, "language", "groups"):
            if not row.get(name, "-"):
                row.pop(name)
        if row.get("username") == self.actor.username:  # Nobody changes their own access.
            row.pop("groups", None)
        self.groups = None

    def import_row(self, row: Any, instance_loader: Any, **kwargs: Any) -> Any:
        """A row is all or nothing: what the database refuses costs its row alone."""
        with transaction.atomic():
            result = super().import_row(row, instance_loader, **kwargs)
            result.groups = self.groups
            for failed in result.errors:
                if isinstance(failed.error, OperationalError | InterfaceError):
                    raise failed.error  # A deadlock, or no database: the slice is taken once more.
            if result.errors or result.validation_error:
                transaction.set_rollback(True)
        return result

    def init_instance(self, row: Any = None) -> User:
        person = User()
        person.set_unusable_password()
        return person

    def validate_instance(self, instance: User, errors: Any = None, validate_unique: bool = True) -> None:
        why = self.why_not(instance)
        if why:
            self.refused.append((instance, why))
            raise ValidationError(_(why))
        super().validate_instance(instance, errors, validate_unique)
        alike = User.objects.alias(lower=Lower("username")).filter(lower=instance.username.lower())
        if alike.exclude(pk=instance.pk).exists():
            raise ValidationError({"username": _("Another person has this username, but for its case.")})

    def why_not(self, person: User) -> str:
        """What the policy says to this row."""
        if person._state.adding:
            return "" if self.actor.has_perm("accounts.add_user") else policy.LACKS_PERMISSION
        why = policy.refusal(self.actor, "change", person)
        if why:
            return why
        stored = User.objects.get(pk=person.pk)
        locked = policy.locked_fields(self.actor, stored)
        changed = (name for name in FLAGS if getattr(person, name) != getattr(stored, name))
        return next((locked[name] for name in changed if name in locked), "")

    def save_m2m(self, instance: User, row: Any, **kwargs: Any) -> None:
        if "groups" in row:
            before = sorted(instance.groups.values_list("name", flat=True))
            super().save_m2m(instance, row, **kwargs)
            after = sorted(instance.groups.values_list("name", flat=True))
            self.groups = None if before == after else (before, after)

    def do_instance_save(self, instance: User, is_create: bool) -> None:
        if not (is_create and self.invite and instance.is_active):
            super().do_instance_save(instance, is_create)
            return
        with suppress_emails(INVITED_INSTEAD, kinds=["welcome"]):
            super().do_instance_save(instance, is_create)
        self.invited.append(instance)

    def export_field(self, field: Any, instance: User, **kwargs: Any) -> str:
        value = ILLEGAL_CHARACTERS_RE.sub("\ufffd", str(super().export_field(field, instance, **kwargs)))
        return escaped(value)
