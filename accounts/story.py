"""What happens to one person within one transaction, so that the person gets its net result and not every step.

A Story is itself an on_commit hook. Django drops hooks with the savepoint or transaction that is rolled back, and
runs them at commit; so a story that is still among the hooks is about the transaction that is open now.
"""

from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from django.db import connections, transaction
from django.utils.functional import cached_property

from accounts.values import RELATIONS, VISIBLE, Values, differ, masked, read
from emails.models import EmailKindSwitch, EmailLog
from emails.recording import retract

Changes = dict[str, list[Any]]


class Story:
    def __init__(self, using: str, pk: Any, *, created: bool = False, deleted: Values | None = None) -> None:
        self.using, self.pk = using, pk
        self.created = created
        self.deleted = deleted  # The person's last values, once the deletion has begun.
        self.ended = False
        self.before: Values = {}  # What changed had these values when the transaction began.
        # The log's rows recorded so far, by phase. Never forgotten: a rollback brings back what was retracted. By
        # reference: SQLite gives the primary keys of rolled-back rows to the next ones.
        self.rows: dict[str, list[UUID]] = {}

    def __call__(self) -> None:
        self.ended = True
        stories(self.using).forget()

    @property
    def enabled(self) -> set[str]:
        """The keys of the kinds that are switched on, read once per transaction."""
        return stories(self.using).enabled

    def begin_with(self, values: Values) -> None:
        """Note values about to change; only the first ones seen are those from before the transaction."""
        for name, value in values.items():
            self.before.setdefault(name, value)

    def now(self, overlay: Values | None = None) -> Values | None:
        """The person's values as they stand, `overlay` being about to be saved."""
        values = read(self.using, self.pk, relations=self.before.keys() & RELATIONS)
        return None if values is None else values | (overlay or {})

    def net(self, now: Values) -> Changes:
        """What the transaction has changed so far, {field: [old, new]}; A → B → A is nothing."""
        return {
            name: masked(name, self.before[name], now[name])
            for name in VISIBLE
            if name in self.before and differ(name, self.before[name], now[name])
        }

    def retract(self, *phases: str) -> None:
        """Take back what was recorded in this transaction and is overtaken: nobody but this transaction saw it."""
        for phase in phases:
            rows = self.rows.get(phase, [])
            if rows:
                retract(rows)

    def recorded(self, phase: str, email: EmailLog) -> None:
        self.rows.setdefault(phase, []).append(email.ref)


class Stories:
    """The open stories of one database connection, by primary key."""

    def __init__(self) -> None:
        self.hooks: list[Any] | None = None
        self.by_pk: dict[Any, Story] = {}

    @cached_property
    def enabled(self) -> set[str]:
        return EmailKindSwitch.enabled_keys()

    def refresh(self, hooks: list[Any]) -> "Stories":
        # Django replaces the list at every commit and rollback: only then the stories have to be read from it again.
        if hooks is not self.hooks:
            self.hooks = hooks
            self.by_pk = {hook[1].pk: hook[1] for hook in hooks if isinstance(hook[1], Story)}
            self.forget()
        return self

    def forget(self) -> None:
        self.__dict__.pop("enabled", None)


_stories: WeakKeyDictionary[Any, Stories] = WeakKeyDictionary()


def stories(using: str) -> Stories:
    connection = connections[using]
    return _stories.setdefault(connection, Stories()).refresh(connection.run_on_commit)


def enabled_kinds(using: str) -> set[str]:
    """The keys of the kinds that are switched on; read once per transaction, where one is open."""
    return stories(using).enabled if connections[using].in_atomic_block else EmailKindSwitch.enabled_keys()


def story_of(using: str, pk: Any) -> Story | None:
    """The person's story in the transaction that is open on `using`, if it has begun."""
    story = stories(using).by_pk.get(pk)
    return None if story is None or story.ended else story


def begin(story: Story) -> Story:
    """Start a story, or a new chapter of one: after a rolled-back savepoint the one before it counts again."""
    stories(story.using).by_pk[story.pk] = story
    transaction.on_commit(story, using=story.using)
    return story


def open_story(using: str, pk: Any) -> Story:
    return story_of(using, pk) or begin(Story(using, pk))
