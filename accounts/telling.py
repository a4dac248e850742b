"""Which emails tell a person's story: one that lists the net change, under the name of its weightiest part."""

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
)
from accounts.story import Changes, Story
from accounts.values import ACCESS, PROFILE, Values
from accounts.writing import tell
from emails.kinds import EmailKind

BEFORE, AFTER = "before", "after"


def tell_creation(story: Story, now: Values) -> None:
    """The welcome, written again where the transaction goes on to change the new person."""
    story.retract(AFTER)
    story.recorded(AFTER, tell(WELCOME, now, enabled=story.enabled))


def tell_change(story: Story, now: Values, phase: str) -> None:
    """Record what the person is told before the save (the notice) or after it (everything else)."""
    changes = story.net(now)
    kinds = told_by(changes, story.enabled)
    listed = {name for kind, names in kinds if kind.key in story.enabled for name in names}
    told = [(kind, listed) for kind, _ in kinds if kind.key in story.enabled][:1]
    told += [(kind, names) for kind, names in kinds if kind.key not in story.enabled]  # Recorded as skipped.
    noticed = any(kind is UPDATE_NOTICE for kind, _ in told)
    story.retract(phase, *([] if noticed else [BEFORE]))
    for kind, names in told:
        if (kind is UPDATE_NOTICE) == (phase == BEFORE):
            record(story, kind, now, {name: changes[name] for name in names}, phase)
    if phase == AFTER:
        tell_beside(story, now, changes, notice=noticed)


def tell_beside(story: Story, now: Values, changes: Changes, *, notice: bool) -> None:
    """What goes out beside the one email: the report that follows a notice, and word to the old address."""
    if notice and {UPDATE_NOTICE.key, ACCOUNT_UPDATED.key} <= story.enabled:
        record(story, ACCOUNT_UPDATED, now, changes, AFTER)
    old_address = story.before.get("email")
    if "email" in changes and old_address:
        # Where the account is in other hands, the old address is the only one that still reaches its owner. What
        # else changed is not its business any more, nor is the new address in full.
        record(story, EMAIL_CHANGED, now, {"email": changes["email"]}, AFTER, to=old_address)


def record(story: Story, kind: EmailKind, now: Values, changes: Changes, phase: str, to: str | None = None) -> None:
    email = tell(kind, now, changes=changes, to=to, enabled=story.enabled)
    story.recorded(phase, email)


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
