import logging
import os
import signal
import sys
import threading
import time
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser
from django.db import InterfaceError, OperationalError, close_old_connections, connection

from backoffice.supervisor import Supervisor
from emails import sweeper
from emails.deliverer import Deliverer

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
        for number in (signal.SIGTERM, signal.SIGINT):  # Until the task engine's worker puts its own in their place.
            signal.signal(number, lambda signum, frame: sys.exit(0))
        stop = threading.Event()
        threads = [threading.Thread(target=self.sweep, args=[stop, parent], name="sweeper", daemon=True)]
        deliverer = Deliverer()
        for thread in (*threads, deliverer):
            thread.start()
        try:
            if settings.TASK_BACKEND == "db":
                self.run_tasks(interval, 0 if verbosity == 1 else verbosity)
            else:
                self.wait_for_signal(stop)
        finally:
            stop.set()
            deliverer.stop()
            # What is in flight is finished: a call may take its whole time-out, and its outcome wants to be written.
            for thread in (deliverer, *threads):
                thread.join(timeout=settings.EMAIL_TIMEOUT_SECONDS + 5)

    def run_tasks(self, interval: float, verbosity: int) -> None:
        """The task engine's worker, until a signal; its handlers let the running task finish."""
        options = {"queue_name": "*", "interval": interval, "startup_delay": False, "reload": False}
        while True:
            try:
                call_command("db_worker", verbosity=verbosity, **options)
                return
            except (OperationalError, InterfaceError) as error:  # A database that restarts costs seconds.
                logger.warning("worker.database_away error=%s", type(error).__name__)
                connection.close()
                time.sleep(1)

    def wait_for_signal(self, stop: threading.Event) -> None:
        """Another engine runs the tasks elsewhere: this process delivers and sweeps."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda signum, frame: stop.set())
        stop.wait()

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
