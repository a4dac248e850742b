"""Draining beside a million rows (100,000 on SQLite), finished or queued: the same speed, and no more memory."""

import logging
import os
import resource
import sys
import time

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from emails import delivery, tasks  # noqa: E402
from emails.models import EmailEvent, EmailLog, EmailRecipient  # noqa: E402
from tests.benchmarks.drain import fill, use  # noqa: E402
from tests.provider import Provider  # noqa: E402

ROWS = 20_000 if "--quick" in sys.argv else 1_000_000 if connection.vendor == "postgresql" else 100_000
SECONDS = 2.0 if "--quick" in sys.argv else 8.0
# What a copy has of its own; every other column is taken over.
REF = {"postgresql": "gen_random_uuid()", "sqlite": "lower(hex(randomblob(16)))"}[connection.vendor]
OWN = {"ref": REF, "state": "%s"}
NUMBERS = {
    "postgresql": "generate_series(1, %s)",
    "sqlite": "(WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s) SELECT i FROM n) AS each",
}[connection.vendor]


def memory() -> float:
    """MB that this process holds now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def speed(queued: bool) -> float:
    """Messages a second, of the backlog itself or of some more that are put beside it."""
    if not queued:
        fill(2000)
    started = time.perf_counter()
    settled, _ = delivery.drain(seconds=SECONDS)
    return settled / (time.perf_counter() - started)


def seed(state: str) -> None:
    fill(1)
    pk = EmailLog.objects.latest("pk").pk
    columns = [str(field.column) for field in EmailLog._meta.concrete_fields if not field.primary_key]
    values = ", ".join(OWN.get(column, column) for column in columns)
    table = EmailLog._meta.db_table
    copies = f"SELECT {values} FROM {table}, {NUMBERS} WHERE id = %s"
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({', '.join(columns)}) {copies}", [state, ROWS, pk])
        cursor.execute("ANALYZE")
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # A gigabyte of it is this INSERT's alone.


def empty() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE emails_emaillog CASCADE")
    else:
        EmailEvent.objects.all()._raw_delete(connection.alias)
        EmailRecipient.objects.all()._raw_delete(connection.alias)
        EmailLog.objects.all()._raw_delete(connection.alias)


def main() -> None:
    settings.DEBUG = False
    logging.getLogger("emails").setLevel("ERROR")
    call_command("migrate", verbosity=0)
    type(tasks.deliver).enqueue = lambda *args, **kwargs: None  # type: ignore[method-assign,assignment]
    with Provider() as provider:
        use(provider, 32)
        empty()
        speed(queued=False)  # Warm.
        base, held = speed(queued=False), memory()
        print(f"Backlog, {connection.vendor}, {ROWS:,} rows; alone {base:.0f}/s, {held:.0f} MB")
        for state in ("sent", "queued"):
            seed(state)
            rate = speed(queued=state == "queued")
            print(f"  beside {state:6} rows {rate:6.0f}/s {rate / base:5.2f}x, {memory() - held:+.0f} MB", flush=True)
            empty()
    os._exit(0)  # The senders' threads have nothing to say any more.


if __name__ == "__main__":
    main()
