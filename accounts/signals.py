"""Django's signals about people, each translated into one call."""

from typing import Any

from axes.signals import user_locked_out
from django.apps import apps
from django.contrib.auth import user_logged_in, user_logged_out, user_login_failed
from django.contrib.auth.models import Group, Permission
from django.db.models.signals import class_prepared, m2m_changed, post_delete, post_save, pre_delete, pre_save

from accounts import batches, changes, signins
from accounts.models import User
from emails.signals import swept


def connect() -> None:
    """Hear of people whichever model is used: proxies of User, and models that extend it, send their own class."""
    for model in apps.get_models():
        listen_to(model)
    class_prepared.connect(listen_to, dispatch_uid="accounts.listen_to")
    for relation in ("groups", "user_permissions"):
        through = getattr(User, relation).through
        m2m_changed.connect(person_m2m_changed, sender=through, dispatch_uid=f"accounts.{relation}_changed")
    for model in (Group, Permission):
        pre_delete.connect(grant_pre_delete, sender=model, dispatch_uid="accounts.grant_pre_delete")
        post_delete.connect(grant_post_delete, sender=model, dispatch_uid="accounts.grant_post_delete")

    user_logged_in.connect(person_logged_in, dispatch_uid="accounts.person_logged_in")
    user_login_failed.connect(person_login_failed, dispatch_uid="accounts.person_login_failed")
    user_logged_out.connect(person_logged_out, dispatch_uid="accounts.person_logged_out")
    swept.connect(batches.wake_stalled, dispatch_uid="accounts.wake_stalled")
    user_locked_out.connect(person_locked_out, dispatch_uid="accounts.person_locked_out")


def listen_to(sender: type[Any], **kwargs: Any) -> None:
    # One by one: a receiver for all senders would take Django's fast deletion from every other model.
    if issubclass(sender, User):
        for signal, receiver in RECEIVERS.items():
            signal.connect(receiver, sender=sender, dispatch_uid=f"accounts.{receiver.__name__}")


def person_pre_save(sender: type[Any], instance: Any, raw: bool, using: str, update_fields: Any, **kwargs: Any) -> None:
    instance.from_fixture = raw  # A fixture's groups follow without saying that they come from one.
    if not raw:
        changes.before_save(instance, using, update_fields)


def person_post_save(
    sender: type[Any], instance: Any, created: bool, raw: bool, using: str, update_fields: Any, **kwargs: Any
) -> None:
    if not raw:
        changes.after_save(instance, using, created, update_fields)


def person_pre_delete(sender: type[Any], instance: Any, using: str, **kwargs: Any) -> None:
    changes.before_delete(instance.pk, using)


def person_post_delete(sender: type[Any], instance: Any, using: str, **kwargs: Any) -> None:
    changes.after_delete(instance.pk, using)


def person_m2m_changed(
    sender: type[Any], instance: Any, action: str, reverse: bool, pk_set: set[Any] | None, using: str, **kwargs: Any
) -> None:
    if getattr(instance, "from_fixture", False):
        return
    relation = "groups" if sender is User.groups.through else "user_permissions"
    if reverse and pk_set is None:  # group.user_set.clear(): the signal does not say whose group it was.
        people = set(instance.user_set.using(using).values_list("pk", flat=True)) if action == "pre_clear" else None
    else:
        people = pk_set if reverse else {instance.pk}
    changes.relation_changed(instance, relation, people, action.startswith("pre_"), using)


def grant_pre_delete(sender: type[Any], instance: Any, using: str, **kwargs: Any) -> None:
    # Deleting a group or a permission takes it from people without any m2m_changed.
    people = set(instance.user_set.using(using).values_list("pk", flat=True))
    changes.relation_changed(instance, relation_of(sender), people, True, using)


def grant_post_delete(sender: type[Any], instance: Any, using: str, **kwargs: Any) -> None:
    changes.relation_changed(instance, relation_of(sender), None, False, using)


def relation_of(model: type[Any]) -> str:
    return "groups" if model is Group else "user_permissions"


def person_logged_in(sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
    signins.came_in(request, user)


def person_login_failed(sender: Any, credentials: dict[str, Any], request: Any = None, **kwargs: Any) -> None:
    signins.failed(request, str(credentials.get("username") or ""))


def person_logged_out(sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
    signins.went_out(request, user)


def person_locked_out(sender: Any, request: Any, username: Any, **kwargs: Any) -> None:
    signins.was_locked(request, str(username or ""))


RECEIVERS: dict[Any, Any] = {
    pre_save: person_pre_save,
    post_save: person_post_save,
    pre_delete: person_pre_delete,
    post_delete: person_post_delete,
}
