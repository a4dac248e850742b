import time
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.mail import EmailMessage
from django.core.management.base import BaseCommand, CommandError, CommandParser

from emails.cause import caused_by
from emails.checks import TAG, pasted_url
from emails.models import EmailEvent, EmailLog, Pause, State, Worker
from emails.profile import Provider
from emails.providers import PROVIDERS, in_use

PATIENCE = 60.0  # Seconds for the outcome, and then for the first report.
LINES = (
    ("settings", {"E001", "E004", "E007", "E008", "E009"}),
    ("package", {"E003"}),
    ("credentials", {"E002", "E010"}),
    ("From domain", {"W001"}),
    ("webhook", {"E005", "W005", "E006"}),
)
OPEN = {State.QUEUED, State.CLAIMED, State.SENDING, State.RETRYING}  # Another provider may have it yet.


class Command(BaseCommand):
    help = "Tells whether email is set up, a line each; with --send whether it really arrives."
    requires_system_checks = ()  # They are what it tells.

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--send", metavar="ADDRESS", help="Send a message there, and wait for what becomes of it")
        parser.add_argument("--patience", type=float, default=PATIENCE, help="Seconds to wait (%(default)s)")

    def handle(self, *args: Any, send: str | None, patience: float, **options: Any) -> None:
        found = checks.run_checks(tags=[TAG], include_deployment_checks=True)
        problems = [message for message in found if not message.is_silenced()]
        wrong = [self.line(name, numbers, problems) for name, numbers in LINES]
        first = next((message for message in wrong if message is not None and message.is_serious()), None)
        if first is not None:
            raise CommandError(f"Next: {first.hint or first.msg}")
        if send:
            self.try_it(send, patience)

    def line(self, name: str, numbers: set[str], problems: list[Any]) -> Any:
        """Print a ticked or a crossed line; returns what is wrong, the worst first."""
        of_this = [message for message in problems if str(message.id).partition(".")[2] in numbers]
        of_this.sort(key=lambda message: -message.level)
        mark = "✓" if not of_this else "✕" if of_this[0].is_serious() else "!"
        self.stdout.write(f"{mark} {name}: {of_this[0].msg if of_this else self.facts(name)}")
        if mark == "!":
            self.stdout.write(f"  {of_this[0].hint}")
        return of_this[0] if of_this else None

    def facts(self, name: str) -> str:
        """What is right, where there is something to say. Names alone, never a value."""
        providers = in_use()
        labels = ", then ".join(provider.label for provider in providers) or "no provider"
        set_ones = dict.fromkeys(v.name for p in providers for v in p.variables if p.value(v.name))
        redirect = settings.EMAILS["REDIRECT_TO"]
        reporting = [provider for provider in providers if provider.reports]
        return {
            "settings": f"{labels}, redirected to {redirect}" if redirect else labels,
            "package": "installed",
            "credentials": ", ".join(set_ones) or "none needed",
            "From domain": settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].rstrip(">"),
            "webhook": ", ".join(map(pasted_url, reporting)) or f"{labels} reports nothing",
        }[name]

    def try_it(self, address: str, patience: float) -> None:
        message = EmailMessage("Does email work?", "This is a try of manage.py check_email.\n", None, [address])
        with caused_by("manage.py check_email"):
            try:
                message.send()
            except ValueError as error:
                raise CommandError(f"Next: {error}") from error
        email: EmailLog = message.email_log  # type: ignore[attr-defined]
        url = f"{settings.SITE_URL}{email.get_absolute_url()}"
        self.stdout.write(f"Recorded: {url}")
        if Pause.objects.filter(is_open=True).exists():
            raise CommandError("Next: all sending is paused. Resume it under Emails → Delivery lanes.")
        if email.state == State.QUEUED and not Worker.alive().exists():
            raise CommandError("Next: nobody delivers. Start manage.py worker; the message waits for it.")
        self.wait("Waiting for the outcome", patience, lambda: self.state_of(email) not in OPEN)
        email = EmailLog.objects.without_bodies().get(pk=email.pk)
        if email.state != State.SENT:
            raise CommandError(f"Next: it is {email.state}. {email.error} Look at {url}")
        elsewhere = settings.EMAILS["REDIRECT_TO"]
        self.stdout.write(
            f"✓ accepted{f' for {elsewhere}' if elsewhere else ''} by {email.provider}"
            f" as {email.message_id or 'a message without an id'}"
        )
        provider = PROVIDERS[email.provider]
        if provider.receives:
            self.wait_for_report(email, provider, patience)

    def wait_for_report(self, email: EmailLog, provider: Provider, patience: float) -> None:
        reports = EmailEvent.objects.filter(email=email, reported=True)
        if not self.wait("Waiting for the first report", patience, reports.exists):
            away = "127.0.0.1" in settings.SITE_URL or "localhost" in settings.SITE_URL
            raise CommandError(
                f"Next: no report came. Paste {pasted_url(provider)} at {provider.label}."
                + (" Nobody out there reaches this machine: try" if away else " If it stands there, try")
                + f" manage.py replay_webhook {email.pk}"
            )
        self.stdout.write(f"✓ reported: {reports.earliest('pk').type}")

    def state_of(self, email: EmailLog) -> str:
        return str(EmailLog.objects.values_list("state", flat=True).get(pk=email.pk))

    def wait(self, words: str, patience: float, done: Callable[[], bool]) -> bool:
        self.stdout.write(words, ending="")
        for _ in ticks(patience):
            if done():
                self.stdout.write("")
                return True
            self.stdout.write(".", ending="")
            self.stdout.flush()
        self.stdout.write("")
        return False


def ticks(seconds: float) -> Iterator[None]:
    until = time.monotonic() + seconds
    while True:
        yield
        if time.monotonic() > until:
            return
        time.sleep(0.5)
