"""`make bench`: what the emails cost, as ratios of the same work without them, side by side in one run.

Each database is measured in a process of its own: SQLite, then PostgreSQL (BENCH_DATABASE_URL, or this machine's).
"""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import psycopg

from tests.site import ROOT

POSTGRES = os.environ.get("BENCH_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres")


def measure(database: str) -> None:
    environment = {**os.environ, "TEST_DATABASE_URL": database, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    for name in ("admin_save", "recording", "drain", "backlog", "ingest", "people", "log"):
        command = [sys.executable, "-m", f"tests.benchmarks.{name}", *sys.argv[1:]]
        subprocess.run(command, env=environment, cwd=ROOT, check=True)


def main() -> None:
    with TemporaryDirectory() as folder:
        measure(f"sqlite:///{Path(folder) / 'bench.sqlite3'}")
    try:
        server = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=3)
    except psycopg.OperationalError as error:
        print(f"PostgreSQL is not measured: no server ({type(error).__name__}). Set BENCH_DATABASE_URL.")
        return
    name = f"backoffice_bench_{uuid4().hex[:8]}"
    with server:
        server.execute(f'CREATE DATABASE "{name}"'.encode())
        try:
            measure(f"{POSTGRES.rpartition('/')[0]}/{name}")
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


main()
