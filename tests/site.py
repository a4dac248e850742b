"""A site of its own for tests: real processes of manage.py on a database of their own, as an operator runs them."""

import atexit
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from tests import zygote

ROOT = Path(__file__).resolve().parent.parent


class Site:
    """Use as a context manager; `environment` overrides that of a development site with the console provider."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.output = folder / "output.txt"
        self.server = os.environ.get("TEST_DATABASE_URL", "")
        self.name = f"backoffice_site_{uuid4().hex[:12]}"
        database = (
            f"{self.server.rpartition('/')[0]}/{self.name}" if self.server else f"sqlite:///{folder / 'db.sqlite3'}"
        )
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "error::DeprecationWarning:accounts,error::DeprecationWarning:emails",
            "ENV_FILE": os.devnull,
            "SECRET_KEY": "only-for-this-test",
            "DEBUG": "true",
            "DATABASE_URL": database,
            **environment,
        }

    def __enter__(self) -> "Site":
        model = migrated(os.getpid(), self.server)
        if self.server:
            administer(self.server, f'CREATE DATABASE "{self.name}" TEMPLATE "{model}"')
        else:
            shutil.copyfile(model, self.environment["DATABASE_URL"].removeprefix("sqlite:///"))
        return self

    def __exit__(self, *exc_info: Any) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        if self.server:
            administer(self.server, f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        done = zygote.run([str(ROOT / "manage.py"), *arguments], self.environment)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def python(self, code: str) -> Any:
        """Run code in the site's shell; what it puts into `answer` comes back, through JSON."""
        code = f"import json\nanswer = None\n{code}\nprint('ANSWER' + json.dumps(answer))"
        done = self.manage("shell", "--verbosity", "0", "--command", code)
        return json.loads(done.stdout.rpartition("ANSWER")[2])

    def states(self) -> dict[str, int]:
        """How many messages of the log are in each state."""
        return dict(self.rows("SELECT state, COUNT(*) FROM emails_emaillog GROUP BY state"))

    def numbers(self, state: str) -> set[int]:
        """The primary keys of the messages in a state."""
        return {pk for (pk,) in self.rows(f"SELECT id FROM emails_emaillog WHERE state = '{state}'")}

    def rows(self, sql: str) -> list[Any]:
        """What the database answers, asked beside Django to cost no process."""
        database = self.environment["DATABASE_URL"]
        if self.server:
            with psycopg.connect(database) as connection:
                return connection.execute(sql).fetchall()  # type: ignore[call-overload,no-any-return]
        with closing(sqlite3.connect(database.removeprefix("sqlite:///"), timeout=20)) as file:
            return file.execute(sql).fetchall()

    def sessions(self) -> int:
        """How many sessions of others PostgreSQL keeps on this database; none on SQLite, which has no server."""
        if not self.server:
            return 0
        sql = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        return int(self.rows(f"{sql} AND backend_type = 'client backend'")[0][0])

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start a command and leave it running; what it prints goes to `output`."""
        with self.output.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), *arguments],
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)
        return process

    def wait_until(self, condition: Any, seconds: float = 30) -> Any:
        """Poll until `condition()` is true; fails with what the processes printed."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := condition():
                return value
            time.sleep(0.1)
        printed = self.output.read_text(errors="replace")[-3000:] if self.output.exists() else ""
        raise AssertionError(f"Not within {seconds} seconds. Printed:\n{printed}")


@cache
def migrated(pid: int, server: str) -> str:
    """A database that a site's `migrate` has made, to be copied: its path, or on a server its name. One a process."""
    folder = Path(tempfile.mkdtemp(prefix="backoffice-model-"))
    atexit.register(shutil.rmtree, folder)
    site = Site(folder)
    if server:
        administer(server, f'CREATE DATABASE "{site.name}"')
        atexit.register(administer, server, f'DROP DATABASE IF EXISTS "{site.name}" WITH (FORCE)')
    site.manage("migrate", "--verbosity", "0")
    return site.name if server else site.environment["DATABASE_URL"].removeprefix("sqlite:///")


def administer(server: str, sql: str) -> None:
    with psycopg.connect(server.rpartition("/")[0] + "/postgres", autocommit=True) as connection:
        connection.execute(sql)  # type: ignore[call-overload]


def answers(url: str) -> bool:
    """Whether something answers at `url` with a status below 500."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status < 500)
    except OSError:
        return False
