import os
import signal
import socket
import subprocess
import sys
import time
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

# Seconds that the processes have to finish what they are at: a worker that is shot leaves doubts behind, a web server
# for development nothing.
PATIENCE, WEB_PATIENCE = settings.EMAIL_TIMEOUT_SECONDS + 10.0, 5.0


class Command(BaseCommand):
    help = "Runs web server and worker together, for development; Ctrl-C stops both."

    def add_arguments(self, parser: CommandParser) -> None:
        default = int(os.environ.get("PORT") or 8000)
        parser.add_argument("--port", type=int, default=default, help="The web server's port (%(default)s)")
        parser.add_argument("--demo", action="store_true", help="First migrate, and fill an empty database with a demo")

    def handle(self, *args: Any, port: int, demo: bool, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("This is for development (DEBUG=true). In production run gunicorn and manage.py worker.")
        self.refuse_taken(port)
        if demo:
            call_command("migrate", verbosity=0)
            call_command("demo")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # The last where the terminal is closed.
            signal.signal(number, self.interrupt)
        web = self.start("runserver", f"127.0.0.1:{port}", "--skip-checks")
        worker = self.start("worker", "--processes=1")  # Development wants no more.
        try:
            self.wait_for(port, web)
            self.stdout.write(
                self.style.SUCCESS(f"\n  Backoffice is at {settings.SITE_URL}/admin/  (Ctrl-C stops it)\n")
            )
            self.stdout.flush()
            while web.poll() is None and worker.poll() is None:
                time.sleep(0.2)
            name = "web server" if web.poll() is not None else "worker"
            raise CommandError(f"The {name} stopped by itself; its last lines above say why.")
        except KeyboardInterrupt:
            self.stdout.write("\nStopping; the worker finishes what it is sending…")
        finally:
            self.stop(web, worker)

    def refuse_taken(self, port: int) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except (OSError, OverflowError) as error:
                raise CommandError(
                    f"Port {port} is taken or not allowed. Choose another: make run PORT={port + 1}"
                ) from error

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        # Sessions of their own: Ctrl-C in the terminal reaches this process alone, which then stops both in order.
        environment = {**os.environ, "DJANGO_RUNSERVER_HIDE_WARNING": "true"}
        return subprocess.Popen([sys.executable, sys.argv[0], *arguments], env=environment, start_new_session=True)

    def wait_for(self, port: int, web: "subprocess.Popen[bytes]") -> None:
        for _ in range(150):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0 or web.poll() is not None:
                    return
            time.sleep(0.1)

    def interrupt(self, signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def stop(self, web: "subprocess.Popen[bytes]", worker: "subprocess.Popen[bytes]") -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # An impatient second Ctrl-C must not leave orphans.
        for process in (web, worker):
            self.signal_group(process, signal.SIGTERM)
        for process, patience in ((web, WEB_PATIENCE), (worker, PATIENCE)):
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                self.signal_group(process, signal.SIGKILL)

    def signal_group(self, process: "subprocess.Popen[bytes]", signum: int) -> None:
        try:
            os.killpg(process.pid, signum)
        except ProcessLookupError:
            pass
