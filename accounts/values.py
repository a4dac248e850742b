"""What of a person is visible, how it is read before a change, and when two values differ for the person's eyes."""

from collections.abc import Iterable
from functools import cache
from typing import Any, cast

from django.contrib.auth.hashers import is_password_usable
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import connections
from django.db.models import Field
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from accounts.models import User, languages

PROFILE = ("username", "first_name", "last_name", "language")
ACCESS = ("is_staff", "is_superuser", "groups", "user_permissions")
RELATIONS = ("groups", "user_permissions")
VISIBLE = (*PROFILE, "email", "password", "is_active", *ACCESS)
COLUMNS = tuple(name for name in VISIBLE if name not in RELATIONS)
# What no save writes from an instance: one read a while ago would revive ended sessions and withdrawn invitations.
KEPT = ("session_epoch", "link_epoch", "invited_at", "anonymised_at")

Values = dict[str, Any]


def read(using: str, pk: Any, relations: Iterable[str] = (), *, lock: bool = False) -> Values | None:
    """The person's values as they stand in the database now, or None where there is no such person.

    `lock` holds the row until the transaction ends, so that the old value told is the one that is replaced. It is the
    lock that an UPDATE takes: a stronger one would wait for those who refer to the person as the actor of theirs.
    """
    values = Reading.of(using, lock and connections[using].in_atomic_block)(pk)
    if values is not None:
        for name in relations:
            values |= {name: names_of(using, name, [pk]).get(pk, [])}
    return values


class Reading:
    """The look-up of one person, put into words once: every save needs it, and the ORM would build it anew."""

    def __init__(self, using: str, lock: bool) -> None:
        people = User._base_manager.using(using).filter(pk=0)
        if lock:
            people = people.select_for_update(no_key=True)
        self.using, self.names = using, ("pk", "welcomed_at", *KEPT, *COLUMNS)
        compiler = people.values(*self.names).query.get_compiler(using)
        self.sql, _ = compiler.as_sql()
        self.converters = compiler.get_converters([column for column, *_ in compiler.select])

    def __call__(self, pk: Any) -> Values | None:
        connection = connections[self.using]
        with connection.cursor() as cursor:
            cursor.execute(self.sql, [User._meta.pk.get_db_prep_value(pk, connection)])
            found = cursor.fetchone()
        if found is None:
            return None
        row = list(found)
        for position, (converters, expression) in self.converters.items():
            for converter in converters:
                row[position] = converter(row[position], expression, connection)
        return dict(zip(self.names, row, strict=True))

    @staticmethod
    @cache
    def of(using: str, lock: bool) -> "Reading":
        return Reading(using, lock)


def names_of(using: str, relation: str, pks: Iterable[Any]) -> dict[Any, list[str]]:
    """The sorted names of the groups or permissions of many people, by primary key, in one query."""
    through = getattr(User, relation).through
    target = "group" if relation == "groups" else "permission"
    found: dict[Any, list[str]] = {pk: [] for pk in pks}
    rows = through._base_manager.using(using).filter(user_id__in=list(found))
    for pk, name in rows.order_by(f"{target}__name").values_list("user_id", f"{target}__name"):
        found[pk].append(name)
    return found


def of_instance(instance: User, update_fields: Iterable[str] | None) -> Values:
    """The values that a save of `instance` writes: not those deferred, nor those left out of `update_fields`."""
    written = set(COLUMNS) - instance.get_deferred_fields()
    if update_fields is not None:
        written &= set(update_fields)
    return {name: as_stored(name, getattr(instance, name)) for name in written}


def as_stored(name: str, value: Any) -> Any:
    """A value as the database will give it back: "False" for a flag, a UUID or a lazy text for a name."""
    if hasattr(value, "resolve_expression"):
        return value
    try:
        value = User._meta.get_field(name).to_python(value)  # type: ignore[union-attr]
    except ValidationError:
        return value  # The save will say so.
    return str(value) if isinstance(value, Promise) else value


def differ(name: str, old: Any, new: Any) -> bool:
    """Whether a person would call it a change: neither blanks around nor the case of an address is one."""
    if name == "email":
        return normal(old) != normal(new)
    if name == "password" and not is_password_usable(old) and not is_password_usable(new):
        return False  # Every unusable password is another random text.
    return bool(old != new)


def reachable(address: str) -> bool:
    """Whether mail can be sent to what stands where an address should."""
    try:
        validate_email((address or "").strip())
    except ValidationError:
        return False
    return "[" not in address  # ada@[127.0.0.1] is an address that no provider sends to.


def normal(address: str) -> str:
    return (address or "").strip().casefold()


def masked(name: str, old: Any, new: Any) -> list[Any]:
    """[old, new] as log and mail may show it: of a password only whether there is one."""
    if name != "password":
        return [old, new]
    if not is_password_usable(new):
        return ["set", "removed"]
    return ["set", "changed"] if is_password_usable(old) else ["not set", "set"]


def label(name: str) -> str:
    """The field's name as forms show it, in the language that is active."""
    text = str(cast("Field[Any, Any]", User._meta.get_field(name)).verbose_name)
    return text[:1].upper() + text[1:]


def display(name: str, value: Any) -> str:
    """A value as mail shows it, in the language that is active."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list):
        return ", ".join(value) or "–"
    if name == "language":
        return dict(languages()).get(value, str(value))
    return str(value) or "–"
