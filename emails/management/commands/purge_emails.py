from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from emails import purging
from emails.models import LegalHold


class Command(BaseCommand):
    help = (
        "Forgets the content of old emails (EMAIL_BODY_RETENTION_DAYS) and old emails as a whole "
        "(EMAIL_LOG_RETENTION_DAYS). Workers do so daily. Never what is in flight, and nothing about people under a "
        "legal hold."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Only say what would be forgotten")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        now = timezone.now()
        bodies, rows = purging.without_use(now).count(), purging.outlived(now).count()
        held = LegalHold.people().count()
        if held:
            self.stdout.write(f"{held} people are under a legal hold: nothing about them is forgotten.")
        if dry_run:
            self.stdout.write(f"Would forget the content of {bodies} emails, and {rows} emails as a whole.")
            return
        done = {"bodies": 0, "rows": 0}
        totals = {"bodies": bodies, "rows": rows}

        def progress(what: str, number: int) -> None:
            done[what] += number
            if self.stdout.isatty():
                self.stdout.write(f"\r{what}: {done[what]} of {totals[what]}", ending="")
                self.stdout.flush()

        purged = purging.purge(progress=progress)
        if self.stdout.isatty():
            self.stdout.write("")
        self.stdout.write(f"Forgot the content of {purged.bodies} emails, and {purged.rows} emails as a whole.")
