"""Who and what is at work: kept beside the code that runs, so that every recorded email can name its cause."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePath
from typing import Any
from uuid import UUID

SYSTEM = "system"


@dataclass(eq=False)
class Recorded:
    """A row of the log, as far as one wants to tell of it without reading it again.

    It is an on_commit hook as well: Django drops it with the savepoint or transaction that takes the row back.
    """

    pk: int
    ref: UUID
    kind: str
    state: str
    error: str
    to: list[str]
    committed: bool = False

    def __call__(self) -> None:
        self.committed = True


@dataclass
class Cause:
    """What makes emails be written: a staff member's request, a command, a piece of code."""

    text: str
    actor: Any = None  # A saved user, or None for the system itself.
    recorded: list["Recorded"] = field(default_factory=list)  # The log's rows it led to.
    actor_gone: bool = False  # Who deletes the own account can't be referred to any more.

    @property
    def actor_label(self) -> str:
        """The actor's name as the log keeps it, also after the account is gone."""
        return str(self.actor) if self.actor is not None and self.actor.is_authenticated else SYSTEM

    @property
    def actor_pk(self) -> Any:
        if self.actor is None or self.actor_gone or not self.actor.is_authenticated:
            return None
        return self.actor.pk

    def forget_actor(self, pk: Any) -> None:
        """The person with this primary key is deleted: where it is the actor, only the label remains."""
        self.actor_gone = self.actor_gone or self.actor_pk == pk


@dataclass(frozen=True)
class Suppressed:
    """Why emails are recorded and not sent: those of some kinds, or of all."""

    reason: str
    kinds: frozenset[str] | None = None


_suppressed: ContextVar[tuple[Suppressed, ...]] = ContextVar("suppressed", default=())
_current: ContextVar[Cause | None] = ContextVar("cause", default=None)


def current() -> Cause:
    """The cause at work, or the process itself where nothing more is known ("manage.py demo")."""
    return _current.get() or Cause(process(*sys.argv[:2]))


@lru_cache(maxsize=2)
def process(program: str = "", command: str = "") -> str:
    """What runs, without its further arguments, which may hold addresses or passwords."""
    name = PurePath(program).name or "python"
    return f"{name} {command}".strip() if name in {"manage.py", "django-admin"} else name


@contextmanager
def caused_by(text: str, actor: Any = None) -> Iterator[Cause]:
    """Name the cause of all emails recorded in the block."""
    cause = Cause(text, actor)
    token = _current.set(cause)
    try:
        yield cause
    finally:
        _current.reset(token)


@contextmanager
def suppress_emails(reason: str, kinds: Iterable[str] | None = None) -> Iterator[None]:
    """Record the block's emails of our own kinds, or of `kinds` alone, as skipped for `reason` instead of sending them.

    Those that can't be switched off are sent all the same.
    """
    new = Suppressed(reason, None if kinds is None else frozenset(kinds))
    token = _suppressed.set((*_suppressed.get(), new))
    try:
        yield
    finally:
        _suppressed.reset(token)


def suppressed(kind: str) -> str:
    """The reason why emails of this kind are recorded but not sent now, or ""."""
    fitting = (one.reason for one in _suppressed.get() if one.kinds is None or kind in one.kinds)
    return next(fitting, "")
