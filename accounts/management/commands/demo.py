import secrets
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from accounts.models import User
from emails import delivery
from emails.cause import caused_by
from emails.seeding import seed

ADMIN = "admin"
PEOPLE = (
    ("ada", "Ada", "Lovelace", "en"),
    ("grace", "Grace", "Hopper", "en"),
    ("linus", "Linus", "Ahlberg", "de"),
    ("noor", "Noor", "Haddad", "en"),
    ("mei", "Mei", "Tanaka", "en"),
    ("tomas", "Tomás", "Núñez", "en"),
    ("ingrid", "Ingrid", "Sørensen", "de"),
    ("kwame", "Kwame", "Mensah", "en"),
    ("zofia", "Zofia", "Wójcik", "en"),
    ("aarav", "Aarav", "O’Brien & Sons", "en"),
    ("lena", "Lena", "Müller", "de"),
    ("omar", "Omar", "Farouk", "en"),
)


class Command(BaseCommand):
    help = "Fills an empty development database with an admin and sample people, through the real flow. Runs once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--emails", type=int, default=0, metavar="N", help="Add N sample messages of a past year")

    def handle(self, *args: Any, emails: int = 0, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("The demo creates an admin and sample people: it only runs where DEBUG=true.")
        if emails < 0:
            raise CommandError("--emails takes a number of messages, such as 10000.")
        self.admin_and_people()
        if emails:
            seed(emails, lambda done: self.progress(done, emails))
            self.stdout.write(f"{emails} sample messages of the past year were added to the log.")

    def progress(self, done: int, count: int) -> None:
        if self.stdout.isatty():
            self.stdout.write(f"\r{done:,} of {count:,}", ending="" if done < count else "\n")
            self.stdout.flush()

    def admin_and_people(self) -> None:
        if User.objects.exists():
            self.stdout.write(
                "There are people here already. Forgot a password? .venv/bin/python manage.py changepassword USERNAME"
            )
            return
        password = secrets.token_urlsafe(9)
        with caused_by("manage.py demo"):  # Whichever command has called it.
            with transaction.atomic():
                User.objects.create_superuser(
                    ADMIN, "admin@example.com", password, first_name="Alex", last_name="Admin"
                )
                people = self.people()
            self.history(people)
        # Quietly: two thousand lines from the console provider would bury the password.
        with redirect_stdout(StringIO()):
            sent, _ = delivery.drain(seconds=10)
        self.stdout.write(f"Sample people are here, and {sent} emails about them were sent.")
        self.stdout.write(self.style.SUCCESS(f"\n  Sign in as {ADMIN} with the password {password}\n"))

    def people(self) -> dict[str, User]:
        return {
            username: User.objects.create_user(
                username, f"{username}@example.com", first_name=first, last_name=last, language=language
            )
            for username, first, last, language in PEOPLE
        }

    def history(self, people: dict[str, User]) -> None:
        """A little of everything that can happen, each a transaction of its own: one tells its net result alone."""
        editors, _ = Group.objects.get_or_create(name="Editors")
        self.edit(people["grace"], last_name="Brewster Hopper")
        self.edit(people["linus"], email="linus.ahlberg@example.org")
        self.edit(people["omar"], is_active=False)
        self.edit(people["kwame"], is_active=False)
        self.edit(people["kwame"], is_active=True)
        people["ada"].groups.add(editors)
        people["zofia"].set_password(secrets.token_urlsafe(12))
        people["zofia"].save()
        people["aarav"].delete()

    def edit(self, person: User, **values: Any) -> None:
        for name, value in values.items():
            setattr(person, name, value)
        person.save()
