"""Carries batches out in slices, each one transaction: a worker that dies costs a slice's time and nothing else."""

import logging
import time
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import importing, policy
from accounts.actions import ACTIONS, carry_out
from accounts.models import Batch, User
from accounts.unticking import unticking
from emails.cause import caused_by
from emails.tasks import SLICE, enqueued, task
from emails.wording import frames

logger = logging.getLogger(__name__)

STALLED, FORGOTTEN = timedelta(seconds=30), timedelta(days=1)


@task()
def work() -> None:
    """Go on with whatever batch is waiting, for a few seconds; then the next task does."""
    until = time.monotonic() + SLICE
    while time.monotonic() < until:
        if not take_slice():
            return
    work.enqueue()


def wake() -> None:
    """Have a worker go on. Where the broker is gone the sweeper does, half a minute later: the batch is saved."""
    enqueued(work)


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
                (importing.go_on if batch.what == importing.IMPORT else act)(batch)
        except (OperationalError, InterfaceError):
            raise  # The database is away, or two were in each other's way: the slice is taken once more.
        except Exception as error:  # One that can't go on must not stand in the way of the others.
            logger.error("batch.failed id=%s error=%s", batch.pk, frames(error))
            batch.refresh_from_db()
            words = _("Stopped after %(done)d of %(total)d by %(error)s: nothing was done to the rest.")
            batch.complain("", words % {"done": batch.done, "total": batch.total, "error": type(error).__name__})
            batch.finish(Batch.State.FAILED)
        batch.save()
    return True


def act(batch: Batch) -> None:
    """Do the action to the next few people; what the policy forbids by now is passed over."""
    action = ACTIONS[batch.what]
    if action.verb == "anonymise":
        Batch.hold_imports()
    keys = batch.next_items
    people = User.objects.filter(pk__in=keys)
    actor = User.objects.filter(pk=batch.actor_id or 0, is_active=True, is_staff=True).first()
    allowed = policy.permitted(actor, action.verb, people).filter(action.fits()) if actor else people.none()
    with caused_by(batch.cause, actor), unticking(batch.options.get("unticked", [])):
        for person in allowed.order_by("pk"):
            try:
                why = carry_out(action, actor, person, batch.reason)
                if why:
                    batch.complain(person, _(why))
                batch.move(0, **{"failed" if why else "done": 1})
            except ValidationError as error:
                batch.complain(person, error.messages[0])
                batch.move(0, failed=1)
    batch.move(len(keys))
    if batch.done >= batch.total:
        batch.finish(Batch.State.FINISHED)


def wake_stalled(**kwargs: Any) -> None:
    """With every turn of the sweeper: a batch whose task was lost goes on, one that nobody wants is forgotten."""
    going = Batch.objects.filter(state__in=[Batch.State.CHECKING, Batch.State.RUNNING])
    if going.filter(moved_at__lt=timezone.now() - STALLED).exists():
        wake()
    for batch in Batch.objects.filter(state=Batch.State.READY, moved_at__lt=timezone.now() - FORGOTTEN)[:10]:
        batch.finish(Batch.State.FAILED)  # A file that nobody confirmed: what is in it is not ours to keep.
        batch.options = {}
        batch.save()
