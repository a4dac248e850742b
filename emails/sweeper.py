"""Beside every worker: rescues what dead workers left, wakes delivery for what is due, tidies up daily."""

import logging
import time

from django.core.management import CommandError, call_command
from django.db import DatabaseError

from emails import orphans, overview, providers, purging, rescue, statistics, tasks
from emails.models import EmailLog, Lane, Worker
from emails.signals import swept
from emails.wording import frames

logger = logging.getLogger(__name__)

INTERVAL = 5.0  # Seconds between two turns.
WAKES = 8
TIDY = 24 * 3600.0
_tidied_at = float("-inf")


@tasks.task()
def sweep() -> None:
    """A turn as a task, for engines that have a clock of their own."""
    turn()


def turn() -> None:
    """One round. Any number of workers may take their turns at once; an error costs one turn, not the thread."""
    try:
        rescue.sweep()
        EmailLog.objects.forget_sealed()
        Worker.beat()
        in_use = providers.in_use()
        for provider in in_use:
            if provider.receives:
                orphans.adopt(provider.key)
        closed = all(Lane.look(provider.key).closed for provider in in_use)
        waiting = EmailLog.objects.none() if closed else EmailLog.objects.due().order_by()
        # One task for every hundred, so that a queue that has grown long wakes more than one worker.
        for _ in range(-(-waiting[: WAKES * 100].count() // 100)):
            tasks.deliver.enqueue()
        swept.send(None)
        tidy()
    except Exception as error:
        logger.error("sweeper.turn_failed error=%s", frames(error))


def leave() -> None:
    """The worker ends: nobody is to miss it. Where the database is away, it is missed for a while."""
    try:
        Worker.leave()
    except DatabaseError:
        logger.warning("sweeper.left_without_a_word")


def tidy() -> None:
    """Once a day, and when the worker starts: forget finished tasks, dead workers, and reports of others' mail."""
    global _tidied_at
    if time.monotonic() - _tidied_at < TIDY:
        return
    _tidied_at = time.monotonic()
    Worker.forget_dead()
    orphans.forget()
    overview.roll_up_lately()
    statistics.count_daily.enqueue()
    purging.purge_daily.enqueue()
    try:
        call_command("prune_db_task_results", queue_name="*", min_age_days=1, verbosity=0)
    except CommandError:  # Another task engine keeps its own records.
        logger.info("sweeper.no_task_records")
