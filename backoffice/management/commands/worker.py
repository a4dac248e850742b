import logging
import os
import signal
import threading
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import InterfaceError, OperationalError, close_old_connections, connection
from django.utils.crypto import get_random_string
from django_tasks_db.management.commands.db_worker import Command as EngineCommand
from django_tasks_db.management.commands.db_worker import Worker

from backoffice.supervisor import Supervisor
from emails import sweeper
from emails.deliverer import deliverers

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Delivers email until stopped (SIGTERM or Ctrl-C): runs tasks, rescues what dead workers left, tidies up."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--interval", type=float, default=0.3, help="Seconds between looks for tasks (%(default)s)")
        parser.add_argument(
            "--processes", type=int, default=default_processes(), help="To use all cores (default here: %(default)s)"
        )
        parser.add_argument("--parent", type=int, default=0, help="Stop when this process is gone (used internally)")

    def handle(self, *args: Any, interval: float, processes: int, parent: int, verbosity: int, **options: Any) -> None:
        if processes > 1:
            arguments = ["worker", "--processes=1", f"--interval={interval}", f"--verbosity={verbosity}"]
            Supervisor(arguments, processes, patience=settings.EMAIL_TIMEOUT_SECONDS + 10).run()
            return
        stop = threading.Event()
        sweeping = threading.Thread(target=self.sweep, args=[stop, parent], name="sweeper", daemon=True)
        delivering = deliverers()
        engine = self.engine(interval, verbosity) if settings.TASK_BACKEND == "db" else None
        try:
            # Whoever handles a stop is in place before anything can be in flight.
            self.handle_signals(engine, stop)
            sweeping.start()
            for deliverer in delivering:
                deliverer.start()
            if engine is None:  # Another engine runs the tasks elsewhere: this process delivers and sweeps.
                stop.wait()
            else:
                self.run_tasks(engine)
        finally:
            stop.set()
            for deliverer in delivering:
                deliverer.stop()
            # What is in flight is finished: a call may take its whole time-out, and its outcome wants to be written.
            for thread in (*delivering, sweeping):
                if thread.ident is not None:
                    thread.join(timeout=settings.EMAIL_TIMEOUT_SECONDS + 5)
            sweeper.leave()

    def engine(self, interval: float, verbosity: int) -> Worker:
        """The task engine's own worker, for all queues."""
        EngineCommand().configure_logging(0 if verbosity == 1 else verbosity)
        return Worker(
            queue_names=["*"],
            interval=interval,
            batch=False,
            backend_name="default",
            startup_delay=False,
            max_tasks=None,
            worker_id=get_random_string(32),
            excluded_queue_names=[],
        )

    def handle_signals(self, engine: Worker | None, stop: threading.Event) -> None:
        if engine is not None:
            engine.configure_signals()  # They let a task that runs finish, and end the process otherwise.
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda signum, frame: stop.set())

    def run_tasks(self, engine: Worker) -> None:
        while engine.running:
            try:
                engine.run()
            except (OperationalError, InterfaceError) as error:  # A database that restarts costs seconds.
                logger.warning("worker.database_away error=%s", type(error).__name__)
                connection.close()
                time.sleep(1)

    def sweep(self, stop: threading.Event, parent: int) -> None:
        while not stop.is_set():
            if parent and os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGTERM)  # Nobody else would stop this process any more.
                return
            sweeper.turn()
            close_old_connections()
            stop.wait(sweeper.INTERVAL)


def default_processes() -> int:
    """Two for each core, up to four: most of the time they wait. SQLite has one writer at a time, and wants no more."""
    return min(4, 2 * (os.cpu_count() or 1)) if connection.vendor == "postgresql" else 1
