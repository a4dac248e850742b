"""Django's signals about people, each translated into one call."""

from typing import Any

from django.contrib.auth.models import Group
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save

from accounts import changes
from accounts.models import User


def connect() -> None:
    # Without a sender: a proxy of User, or a model that extends it, sends its own class.
    for signal, receiver in (
        (pre_save, person_pre_save),
        (post_save, person_post_save),
        (pre_delete, person_pre_delete),
        (post_delete, person_post_delete),
    ):
        signal.connect(receiver, dispatch_uid=f"accounts.{receiver.__name__}")
    for relation in ("groups", "user_permissions"):
        m2m_changed.connect(
            person_m2m_changed,
            sender=getattr(User, relation).through,
            dispatch_uid=f"accounts.{relation}_changed",
        )
    pre_delete.connect(group_pre_delete, sender=Group, dispatch_uid="accounts.group_pre_delete")
    post_delete.connect(group_post_delete, sender=Group, dispatch_uid="accounts.group_post_delete")


def person_pre_save(sender: type[Any], instance: Any, raw: bool, using: str, update_fields: Any, **kwargs: Any) -> None:
    if issubclass(sender, User) and not raw:
        changes.before_save(instance, using, update_fields)


def person_post_save(sender: type[Any], instance: Any, created: bool, raw: bool, using: str, **kwargs: Any) -> None:
    if issubclass(sender, User) and not raw:
        changes.after_save(instance, using, created)


def person_pre_delete(sender: type[Any], instance: Any, using: str, **kwargs: Any) -> None:
    if issubclass(sender, User):
        changes.before_delete(instance.pk, using)


def person_post_delete(sender: type[Any], instance: Any, using: str, **kwargs: Any) -> None:
    if issubclass(sender, User):
        changes.after_delete(instance.pk, using)


def person_m2m_changed(
    sender: type[Any], instance: Any, action: str, reverse: bool, pk_set: set[Any] | None, using: str, **kwargs: Any
) -> None:
    relation = "groups" if sender is User.groups.through else "user_permissions"
    if reverse and pk_set is None:  # group.user_set.clear(): the signal does not say whose group it was.
        people = set(instance.user_set.using(using).values_list("pk", flat=True)) if action == "pre_clear" else None
    else:
        people = pk_set if reverse else {instance.pk}
    changes.relation_changed(instance, relation, people, action.startswith("pre_"), using)


def group_pre_delete(sender: type[Any], instance: Any, using: str, **kwargs: Any) -> None:
    # Deleting a group takes it from its members without any m2m_changed.
    people = set(instance.user_set.using(using).values_list("pk", flat=True))
    changes.relation_changed(instance, "groups", people, True, using)


def group_post_delete(sender: type[Any], instance: Any, using: str, **kwargs: Any) -> None:
    changes.relation_changed(instance, "groups", None, False, using)
