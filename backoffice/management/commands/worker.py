import logging
import signal
import threading
import time
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser
from django.db import InterfaceError, OperationalError, close_old_connections, connection

from emails import sweeper
from emails.tasks import SLICE

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Delivers email until stopped (SIGTERM or Ctrl-C): runs tasks, rescues what dead workers left, tidies up."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--interval", type=float, default=0.3, help="Seconds between looks for tasks (%(default)s)")

    def handle(self, *args: Any, interval: float, verbosity: int, **options: Any) -> None:
        stop = threading.Event()
        thread = threading.Thread(target=self.sweep, args=[stop], name="sweeper", daemon=True)
        thread.start()
        try:
            if settings.TASK_BACKEND == "db":
                self.run_tasks(interval, 0 if verbosity == 1 else verbosity)
            else:
                self.wait_for_signal(stop)
        finally:
            stop.set()
            thread.join(timeout=SLICE + settings.EMAIL_TIMEOUT_SECONDS)

    def run_tasks(self, interval: float, verbosity: int) -> None:
        """The task engine's worker, until a signal; its handlers let the running task finish, some seconds at most."""
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
        """Another engine runs the tasks elsewhere: only the sweeper has work here."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda signum, frame: stop.set())
        stop.wait()

    def sweep(self, stop: threading.Event) -> None:
        while not stop.is_set():
            sweeper.turn()
            close_old_connections()
            stop.wait(sweeper.INTERVAL)
