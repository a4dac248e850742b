"""What the signals hear becomes the person's story in the transaction, and is told as it stands."""

from collections.abc import Iterable
from typing import Any

from axes.models import AccessAttempt
from django.utils import timezone
from django.utils.translation import gettext_noop

from accounts.models import PersonEvent, User
from accounts.models.user import LINKED
from accounts.story import Story, begin, open_story, story_of
from accounts.telling import AFTER, BEFORE, tell_change, tell_creation, tell_deletion, tell_deletion_ahead
from accounts.values import KEPT, RELATIONS, Values, differ, names_of, of_instance, reachable, read
from emails.cause import current

CHANGED = gettext_noop("The account has changed since: invite again.")  # Why an invitation's link is dead.


def before_save(instance: User, using: str, update_fields: Iterable[str] | None) -> None:
    """Note what a save will change, and record the notice of it."""
    instance.becoming, instance.changing = None, frozenset()
    new = of_instance(instance, update_fields)
    if not new:
        return  # Every sign-in is a save of `last_login` alone.
    if instance.rehashing:
        new.pop("password", None)
    old = read(using, instance.pk, lock=True) if instance.pk is not None else None
    if old is None:
        if reachable(instance.email):
            instance.welcomed_at = instance.welcomed_at or timezone.now()
        return
    if old["welcomed_at"] and not instance.welcomed_at:
        instance.welcomed_at = old["welcomed_at"]  # A stale instance must not make the welcome be forgotten.
    for name in KEPT:
        setattr(instance, name, old[name])
    # What the database computes (F("login_count") + 1) is known after the save.
    later = {name for name, value in new.items() if hasattr(value, "resolve_expression")}
    known = {name: value for name, value in new.items() if name not in later}
    changed = {name: old[name] for name in new if name in later or differ(name, old[name], new[name])}
    if not changed:
        return
    story = open_story(using, instance.pk)
    story.begin_with(changed)
    becoming = (story.now(known) if story.before.keys() & RELATIONS else None) or old | known
    instance.becoming, instance.changing = {} if later else becoming, frozenset(changed)
    if not story.created and not first_address(story, becoming):
        tell_change(story, becoming, BEFORE)


def first_address(story: Story, now: Values) -> bool:
    """Whether the person, never welcomed, can be reached for the first time now."""
    before = story.before.get("email")
    return before is not None and not reachable(before) and reachable(now["email"]) and now["welcomed_at"] is None


def after_save(instance: User, using: str, created: bool, update_fields: Iterable[str] | None) -> None:
    """Record what the save has changed, or the welcome where it is a new person or has its first address."""
    becoming, instance.becoming = instance.becoming, None
    changing, instance.changing = instance.changing, frozenset()
    if created:
        story = begin(Story(using, instance.pk, created=True))
        now = story.now()
        if now is not None:
            tell_creation(story, now)
        return
    if becoming is None:
        return
    story = open_story(using, instance.pk)
    overtaken = any(becoming.get(name) != value for name, value in of_instance(instance, update_fields).items())
    if overtaken or story.before.keys() & RELATIONS - becoming.keys():
        becoming = {}  # Another receiver of pre_save had a hand in it.
    now = becoming or story.now()
    if now is None:
        return
    if story.before.get("is_active") and not now["is_active"]:
        instance.end_sessions()  # A browser that is signed in must not be so again once the account is.
    if "username" in changing and isinstance(story.before.get("username"), str):
        AccessAttempt.objects.filter(username=story.before["username"]).delete()  # Nobody's name any more.
    if changing & LINKED:
        if instance.invited_at is not None:
            PersonEvent.note(PersonEvent.Type.INVITATION_WITHDRAWN, instance, reason=CHANGED)
        instance.kill_links()
    if first_address(story, now):
        now["welcomed_at"] = instance.welcomed_at = timezone.now()
        User._base_manager.using(using).filter(pk=instance.pk).update(welcomed_at=instance.welcomed_at)
        story = story if story.created else begin(Story(using, instance.pk, created=True))
    if story.created:
        tell_creation(story, now)
    else:
        if becoming == {}:
            tell_change(story, now, BEFORE)
        tell_change(story, now, AFTER)


def before_delete(pk: Any, using: str) -> None:
    """Take everything that the farewell needs, while it is there."""
    story = story_of(using, pk)
    if story is not None and story.deleted is not None:
        return  # A model that extends User sends the signal for itself and for its parent.
    # Here and not when it is gone: several people leave together, and the farewell to one may be by another of them.
    current().forget_actor(pk)
    now = read(using, pk)
    if now is None:
        return
    if story is not None:
        story.retract(BEFORE, AFTER)
        if not story.created:  # A farewell goes to the person as everybody outside knows it.
            now |= {name: value for name, value in story.before.items() if name in now}
    farewell = begin(Story(using, pk, created=story is not None and story.created, deleted=now))
    if not farewell.created:  # Who was never there for anybody outside needs no farewell.
        tell_deletion_ahead(farewell, now)


def after_delete(pk: Any, using: str) -> None:
    story = story_of(using, pk)
    if story is None or story.deleted is None:
        return
    if not story.created and AFTER not in story.rows:
        tell_deletion(story)


def relation_changed(instance: Any, relation: str, people: set[Any] | None, ahead: bool, using: str) -> None:
    """Groups or permissions change for `people`: called ahead of it, when their names are noted, and after it."""
    if ahead:
        instance.relation_before = names_of(using, relation, people or ())
        return
    for pk, names in instance.__dict__.pop("relation_before", {}).items():
        story = open_story(using, pk)
        story.begin_with({relation: names})
        now = story.now()
        if now is None or story.deleted is not None:
            continue
        if not story.created:
            tell_change(story, now, BEFORE)
            tell_change(story, now, AFTER)
