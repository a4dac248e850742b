"""Carries batches out in slices, each one transaction: a worker that dies costs a slice's time and nothing else."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone

from accounts import policy
from accounts.actions import ACTIONS
from accounts.models import Batch, User
from emails.cause import caused_by, suppress_emails
from emails.tasks import SLICE, task
from emails.wording import frames

logger = logging.getLogger(__name__)

SIZE = 20  # People in one transaction: what a page of the admin has to wait for at most, on SQLite.
STALLED = timedelta(seconds=30)
UNTICKED = "Unticked by %s."


@task()
def work() -> None:
    """Go on with whatever batch is waiting, for a few seconds; then the next task does."""
    until = time.monotonic() + SLICE
    while time.monotonic() < until:
        if not take_slice():
            return
    work.enqueue()


def take_slice() -> bool:
    """One slice of the oldest batch that nobody else is at; False where there is none."""
    skip = connection.features.has_select_for_update_skip_locked
    with transaction.atomic(durable=True):
        going = Batch.objects.filter(state__in=[Batch.State.CHECKING, Batch.State.RUNNING])
        batch = going.select_for_update(skip_locked=skip).order_by("id").first()
        if batch is None:
            return False
        try:
            with transaction.atomic():
                SLICES[batch.what if batch.what in SLICES else "action"](batch)
        except Exception as error:  # One that can't go on must not stand in the way of the others.
            logger.error("batch.failed id=%s error=%s", batch.pk, frames(error))
            batch.refresh_from_db()
            batch.complain("", type(error).__name__)
            batch.finish(Batch.State.FAILED)
        # What it is done to is written when it begins, and forgotten when it ends.
        names = {field.name for field in Batch._meta.concrete_fields} - {"id", *(["items"] if batch.goes_on else [])}
        batch.save(update_fields=names)
    return True


def act(batch: Batch) -> None:
    """Do the action to the next few people; what the policy forbids by now is passed over."""
    action = ACTIONS[batch.what]
    keys = batch.items[batch.done : batch.done + SIZE]
    people = User.objects.filter(pk__in=keys)
    actor = User.objects.filter(pk=batch.actor_id or 0, is_active=True).first()
    allowed = policy.permitted(actor, action.verb, people).filter(action.fits()) if actor else people.none()
    with on_behalf_of(batch, actor):
        for person in allowed.order_by("pk"):
            try:
                with transaction.atomic():
                    action.run(person, batch.reason)
                batch.move(0, done=1)
            except ValidationError as error:
                batch.complain(person, error.messages[0])
                batch.move(0, failed=1)
    batch.move(len(keys), passed=0)
    if batch.done >= batch.total:
        batch.finish(Batch.State.FINISHED)


def on_behalf_of(batch: Batch, actor: Any) -> ExitStack:
    """The batch's cause, and the emails that staff have unticked, for a `with` block."""
    stack = ExitStack()
    stack.enter_context(caused_by(batch.cause, actor))
    stack.enter_context(unticking(batch))
    return stack


def unticking(batch: Batch) -> AbstractContextManager[None]:
    """Record what staff have unticked as skipped, with who did so."""
    unticked = batch.options.get("unticked", [])
    return suppress_emails(UNTICKED % batch.actor_label, kinds=unticked) if unticked else nullcontext()


SLICES: dict[str, Callable[[Batch], None]] = {"action": act}


def wake_stalled(**kwargs: Any) -> None:
    """With every turn of the sweeper: a batch whose task was lost goes on."""
    going = Batch.objects.filter(state__in=[Batch.State.CHECKING, Batch.State.RUNNING])
    if going.filter(moved_at__lt=timezone.now() - STALLED).exists():
        work.enqueue()
