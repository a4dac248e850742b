"""Which emails tell a person's story: one that lists the net change, under the name of its weightiest part."""

from typing import Any

from accounts.emails import (
    ACCESS_CHANGED,
    ACCOUNT_DELETED,
    ACCOUNT_UPDATED,
    DEACTIVATED,
    DELETION_NOTICE,
    EMAIL_CHANGED,
    PASSWORD_CHANGED,
    REACTIVATED,
    UPDATE_NOTICE,
    WELCOME,
    tell,
)
from accounts.story import Changes, Story
from accounts.values import ACCESS, PROFILE, Values
from emails.kinds import EmailKind

BEFORE, AFTER = "before", "after"


def tell_creation(story: Story, now: Values) -> None:
    """The welcome, written again where the transaction goes on to change the new person."""
    story.retract(AFTER)
    story.recorded(AFTER, tell(WELCOME, now, enabled=story.enabled))


def tell_change(story: Story, now: Values, phase: str) -> None:
    """Record what the person is told before the save (the notice) or after it (everything else)."""
    changes = story.net(now)
    enabled = story.enabled
    kinds = told_by(changes, enabled)
    story.retract(phase)
    if not kinds:
        story.retract(BEFORE)
        return
    listed = {name for kind, names in kinds if kind.key in enabled for name in names}
    kind = next((kind for kind, _ in kinds if kind.key in enabled), kinds[0][0])
    facts: dict[str, Any] = {"changes": changes, "listed": listed, "enabled": enabled}
    if phase == BEFORE:
        if kind is UPDATE_NOTICE:
            story.recorded(phase, tell(kind, now, **facts))
        return
    if kind is not UPDATE_NOTICE:
        story.retract(BEFORE)
        story.recorded(phase, tell(kind, now, **facts))
    elif ACCOUNT_UPDATED.key in enabled:
        story.recorded(phase, tell(ACCOUNT_UPDATED, now, **facts))
    old_address = story.before.get("email")
    if "email" in changes and old_address:
        # Where the account is in other hands, the old address is the only one that still reaches its owner. What
        # else changed is not its business any more, nor is the new address in full.
        story.recorded(phase, tell(EMAIL_CHANGED, now, changes=changes, to=old_address, enabled=enabled))


def told_by(changes: Changes, enabled: set[str]) -> list[tuple[EmailKind, set[str]]]:
    """The kinds that tell of `changes`, weightiest first, each with the fields that are its own."""
    instead = UPDATE_NOTICE.key not in enabled and ACCOUNT_UPDATED.key in enabled
    profile = ACCOUNT_UPDATED if instead else UPDATE_NOTICE
    active = REACTIVATED if changes.get("is_active", [None, None])[1] else DEACTIVATED
    parts = (
        (active, {"is_active"}),
        (ACCESS_CHANGED, set(ACCESS)),
        (PASSWORD_CHANGED, {"password"}),
        (EMAIL_CHANGED, {"email"}),
        (profile, set(PROFILE)),
    )
    return [(kind, names & changes.keys()) for kind, names in parts if names & changes.keys()]


def tell_deletion_ahead(story: Story, now: Values) -> None:
    story.recorded(BEFORE, tell(DELETION_NOTICE, now, enabled=story.enabled))


def tell_deletion(story: Story) -> None:
    """Everything was taken before: the person is gone, and the row names nobody that the database knows."""
    values = {**(story.deleted or {}), "pk": None}
    story.recorded(AFTER, tell(ACCOUNT_DELETED, values, enabled=story.enabled))
