"""Recording messages, beside a plain ORM row of the same size: one per transaction, and a thousand in one."""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import django

django.setup()

from anymail.message import AnymailMessage  # noqa: E402
from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, models, transaction  # noqa: E402
from django.utils import timezone  # noqa: E402

from emails.recording import record  # noqa: E402

QUICK = "--quick" in sys.argv
SINGLE, BULK, ROUNDS = (20, 100, 1) if QUICK else (500, 1000, 5)
HTML = "<p>" + "Hello, your account will be updated. " * 220 + "</p>"  # 8 KB
TEXT = "The text\n" * 20


class Plain(models.Model):
    """What anybody would write who wants a table of mail to send."""

    to = models.CharField(max_length=320)
    subject = models.TextField()
    text = models.TextField()
    html = models.TextField()
    state = models.CharField(max_length=10, default="queued", db_index=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        app_label = "benchmarks"

    def __str__(self) -> str:
        return self.subject


def message(number: int) -> Any:
    made = AnymailMessage(f"Subject {number}", TEXT, None, [f"p{number}@example.com"])
    made.attach_alternative(HTML, "text/html")
    return made


def plain(number: int) -> Plain:
    return Plain(to=f"p{number}@example.com", subject=f"Subject {number}", text=TEXT, html=HTML)


def record_one_by_one() -> None:
    for number in range(SINGLE):
        with transaction.atomic():
            record([message(number)])


def save_one_by_one() -> None:
    for number in range(SINGLE):
        with transaction.atomic():
            plain(number).save()


def record_many() -> None:
    with transaction.atomic():
        record([message(number) for number in range(BULK)])


def save_many() -> None:
    with transaction.atomic():
        for number in range(BULK):
            plain(number).save()


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(title: str, ours: Callable[[], Any], theirs: Callable[[], Any], number: int) -> None:
    ours()
    theirs()  # Both warm.
    pairs = [(timed(ours), timed(theirs)) for _ in range(ROUNDS)]
    ratio = statistics.median(other / own for own, other in pairs)
    own, other = (number / statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"  {title:28} {own:6.0f}/s, a plain row {other:6.0f}/s: {ratio:.2f}x", flush=True)


def main() -> None:
    settings.DEBUG = False
    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(Plain)
    print(f"Recording, {connection.vendor}, Django {django.get_version()}, median of {ROUNDS}")
    compare(
        "one per transaction",
        record_one_by_one,
        save_one_by_one,
        SINGLE,
    )
    compare(f"{BULK:,} in one transaction", record_many, save_many, BULK)


if __name__ == "__main__":
    main()
