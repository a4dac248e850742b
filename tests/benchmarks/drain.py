"""Draining a full queue, beside Anymail in 32 threads without any database: the same messages, the same provider."""

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from statistics import median

import anymail.backends.base
import anymail.backends.postmark
import django

BASE, POSTMARK = vars(anymail.backends.base)["BasePayload"], vars(anymail.backends.postmark)
# Anymail as it comes: the product has it read addresses more quickly.
AS_IT_COMES = (BASE.base_message_attrs, POSTMARK["parse_address_list"])
django.setup()

from anymail.message import AnymailMessage  # noqa: E402
from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.utils.module_loading import import_string  # noqa: E402

from emails import delivery, tasks  # noqa: E402
from emails.models import EmailLog  # noqa: E402
from emails.recording import record  # noqa: E402
from tests.provider import Provider  # noqa: E402
from tests.site import ROOT  # noqa: E402

QUICK = "--quick" in sys.argv
MESSAGES = 200 if QUICK else 2000
ROUNDS = 1 if QUICK else 3
HTML = "<p>" + "Hello, your account will be updated. " * 220 + "</p>"  # 8 KB
Figures = dict[str, float]


def message(number: int) -> AnymailMessage:
    made = AnymailMessage(f"Subject {number}", "The text\n" * 20, None, [f"p{number}@example.com"])
    made.attach_alternative(HTML, "text/html")
    return made


def cpu_of_postgres() -> float:
    """Seconds that all processes of this machine's PostgreSQL have used, where that is what is measured."""
    if connection.vendor != "postgresql":
        return 0.0
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition(" (")[2].rpartition(") ")
        except OSError:
            continue
        if name.startswith("postgres"):
            fields = rest.split()
            ticks += sum(int(field) for field in fields[11:15])  # Of dead children too.
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def measured(figures: dict[str, list[Figures]], name: str, number: int) -> Iterator[None]:
    wall, cpu, database = time.perf_counter(), time.process_time(), cpu_of_postgres()
    yield
    seconds = time.perf_counter() - wall
    figures.setdefault(name, []).append(
        {
            "speed": number / seconds,
            "cpu": (time.process_time() - cpu) / number * 1000,
            "database": (cpu_of_postgres() - database) / number * 1000,
        }
    )


def anymail_alone(provider: Provider, threads: int) -> None:
    """The practical ceiling: each thread with a connection of its own, no database at all."""
    numbers: SimpleQueue[int] = SimpleQueue()
    for number in range(MESSAGES):
        numbers.put(number)

    def work() -> None:
        backend = import_string("anymail.backends.postmark.EmailBackend")(server_token="t", api_url=provider.url)
        backend.open()
        try:
            while True:
                made = message(numbers.get_nowait())
                made.metadata = {"ref": f"raw-{made.subject}"}
                backend.send_messages([made])
        except Empty:
            backend.close()

    ours = (BASE.base_message_attrs, POSTMARK["parse_address_list"])
    BASE.base_message_attrs, POSTMARK["parse_address_list"] = AS_IT_COMES
    pool = [threading.Thread(target=work) for _ in range(threads)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    BASE.base_message_attrs, POSTMARK["parse_address_list"] = ours


def fill(number: int) -> None:
    for start in range(0, number, 500):
        record([message(n) for n in range(start, min(start + 500, number))])


def drained(expected: int) -> None:
    settled, more = delivery.drain(seconds=300)
    assert (settled, more) == (expected, False), (settled, more)


def use(provider: Provider, concurrency: int) -> None:
    settings.ANYMAIL = {"POSTMARK_SERVER_TOKEN": "t", "POSTMARK_API_URL": provider.url, "REQUESTS_TIMEOUT": 30}
    settings.EMAILS = {**settings.EMAILS, "PROVIDER": "postmark", "CONCURRENCY": concurrency}


def compare(latency: float, concurrency: int) -> None:
    figures: dict[str, list[Figures]] = {}
    for _ in range(ROUNDS):
        with Provider(latency=latency) as provider:
            with measured(figures, "Anymail alone, 32 threads", MESSAGES):
                anymail_alone(provider, 32)
            use(provider, concurrency)
            fill(MESSAGES)
            with measured(figures, f"the queue, {concurrency} in flight", MESSAGES):
                drained(MESSAGES)
            state = provider.state()
            assert state["accepted"] == state["copies"] == 2 * MESSAGES, state
        EmailLog.objects.all().delete()
    report(f"Drain, {connection.vendor}, provider at {latency * 1000:.0f} ms", figures)


def out_of_the_box(latency: float) -> None:
    """`manage.py worker` as it comes, in processes of its own, from its first request to the last outcome."""
    figures: dict[str, list[Figures]] = {}
    for _ in range(ROUNDS):
        with Provider(latency=latency) as provider:
            with measured(figures, "Anymail alone, 32 threads", MESSAGES):
                anymail_alone(provider, 32)
            use(provider, 8)
            fill(MESSAGES)
            environment = {
                **{name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
                **provider.postmark,
                "DATABASE_URL": os.environ["TEST_DATABASE_URL"],
                "ENV_FILE": os.devnull,
                "SECRET_KEY": "only-for-benchmarks",
                "DEBUG": "true",
                "EMAIL_PROVIDER": "postmark",
            }
            command = [sys.executable, str(ROOT / "manage.py"), "worker"]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            worker = subprocess.Popen(command, env=environment, cwd=ROOT, **quiet)  # type: ignore[call-overload]
            while provider.state()["accepted"] == MESSAGES:
                assert worker.poll() is None
                time.sleep(0.01)
            with measured(figures, "manage.py worker as it comes", MESSAGES):
                while EmailLog.objects.unsettled().exists():
                    time.sleep(0.05)
            worker.terminate()
            worker.wait()
        EmailLog.objects.all().delete()
    report(f"Out of the box, {connection.vendor}, provider at {latency * 1000:.0f} ms", figures)


def report(title: str, figures: dict[str, list[Figures]]) -> None:
    print(f"{title}, {MESSAGES} messages, median of {ROUNDS}")
    base = next(iter(figures.values()))
    for name, rounds in figures.items():
        ratio = median(one["speed"] / other["speed"] for one, other in zip(rounds, base, strict=True))
        speed, cpu, database = (median(one[key] for one in rounds) for key in ("speed", "cpu", "database"))
        own = f", database {database:.2f} s" if database else ""
        print(f"  {name:28} {speed:6.0f}/s {ratio:5.2f}x  CPU per 1,000: {cpu:.2f} s{own}", flush=True)


def main() -> None:
    settings.DEBUG = False
    logging.getLogger("emails").setLevel("ERROR")
    call_command("migrate", verbosity=0)
    type(tasks.deliver).enqueue = lambda *args, **kwargs: None  # type: ignore[method-assign,assignment]
    EmailLog.objects.all().delete()
    for latency, concurrency in ((0.0, 8), (0.0, 32), (0.02, 32), (0.1, 32), (0.1, 128)):
        compare(latency, concurrency)
    if connection.vendor == "postgresql":
        out_of_the_box(0.02)


if __name__ == "__main__":
    main()
