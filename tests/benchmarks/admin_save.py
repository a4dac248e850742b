"""One save in the admin (a POST that changes a name), with its email and without any, interleaved."""

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth.models import AbstractUser  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.db.models import signals  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import reverse  # noqa: E402
from django_tasks_db.models import DBTaskResult  # noqa: E402

from accounts import signals as account_signals  # noqa: E402
from accounts.models import User  # noqa: E402
from emails.models import EmailLog  # noqa: E402

ROUNDS = 30 if "--quick" in sys.argv else 400
WARM_UP = BLOCK = 10


@contextmanager
def without_mail() -> Iterator[None]:
    """The same model and admin, as if this project sent nothing: no receiver, and Django's own save()."""
    receivers = ((signals.pre_save, "person_pre_save"), (signals.post_save, "person_post_save"))
    save = User.save
    for signal, name in receivers:
        assert signal.disconnect(sender=User, dispatch_uid=f"accounts.{name}")
    User.save = AbstractUser.save  # type: ignore[method-assign]
    try:
        yield
    finally:
        User.save = save  # type: ignore[method-assign]
        account_signals.listen_to(User)


class Save:
    """POSTs the change form of one person again and again, each time with another name."""

    def __init__(self) -> None:
        admin = User.objects.create_superuser("admin", "admin@example.com", "x")
        self.person = User.objects.create_user("mei", "mei@example.com", first_name="Mei")
        self.client = Client()
        self.client.force_login(admin)
        self.url = reverse("admin:accounts_user_change", args=[self.person.pk])
        self.count = 0

    def prepare(self) -> None:
        DBTaskResult.objects.all().delete()  # As beside an idle worker: a click writes its wake-up.
        self.client.cookies.pop("messages", None)  # Nobody reads them here, and they would pile up from save to save.

    def __call__(self) -> None:
        self.count += 1
        data = {"username": "mei", "email": "mei@example.com", "language": "en", "is_active": "on"}
        response = self.client.post(self.url, {**data, "first_name": f"Mei {self.count}"})
        assert response.status_code == 302


def timed(work: Save) -> tuple[float, float]:
    """Wall and CPU time of one call, in milliseconds."""
    work.prepare()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000


def main() -> None:
    settings.DEBUG = False
    settings.ALLOWED_HOSTS = ["testserver"]
    if django.VERSION < (6, 1):
        settings.EMAIL_BACKEND = settings.RECORDER
    call_command("migrate", verbosity=0)
    save = Save()
    for _ in range(WARM_UP):
        save()
        with without_mail():
            save()
    before = EmailLog.objects.count()
    figures: dict[str, list[tuple[float, float]]] = {"with its email": [], "without": []}
    for number in range(ROUNDS // BLOCK):
        figures["with its email"] += [timed(save) for _ in range(BLOCK)]
        with without_mail():
            save()  # Connecting signals empties their caches.
            figures["without"] += [timed(save) for _ in range(BLOCK)]
        save()
        if sys.stderr.isatty():
            print(f"\r{number * BLOCK}/{ROUNDS}", end="", file=sys.stderr)
    assert EmailLog.objects.count() - before == ROUNDS + ROUNDS // BLOCK
    report(figures)


def report(figures: dict[str, list[tuple[float, float]]]) -> None:
    medians: dict[str, Any] = {}
    for name, values in figures.items():
        wall, cpu = (statistics.median(column) for column in zip(*values, strict=True))
        medians[name] = (wall, cpu)
    ratios = [statistics.median([w[i] / o[i] for w, o in zip(*figures.values(), strict=True)]) for i in (0, 1)]
    (wall, cpu), (bare, bare_cpu) = medians["with its email"], medians["without"]
    python, version = sys.version.split()[0], django.get_version()
    print(f"Admin save, {connection.vendor}, Python {python}, Django {version}, {ROUNDS} rounds")
    print(f"  with its email {wall:.2f} ms, without {bare:.2f} ms: {ratios[0]:.2f}x, {wall - bare:+.2f} ms")
    print(f"  CPU            {cpu:.2f} ms,         {bare_cpu:.2f} ms: {ratios[1]:.2f}x")


main()
