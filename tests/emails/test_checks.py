"""Starting with a mistake: a check names the variable, says what to do, and shows no value."""

import json
import os
import secrets
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.core import checks
from django.core.mail import EmailMessage
from django.db.models.functions import Now

from emails import kinds
from emails.checks import TAG
from emails.kinds import EmailKind
from emails.models import EmailLog
from emails.providers import PROVIDERS
from tests.backoffice.test_start import GOOD, start
from tests.site import ROOT, Site
from tests.webhooks import REPORTING, configure, environment

MANAGE = str(ROOT / "manage.py")


@pytest.mark.parametrize(
    ("number", "words", "changed"),
    [
        ("E001", ["EMAIL_PROVIDER", "Did you mean EMAIL_PROVIDER=postmark?"], {"EMAIL_PROVIDER": "postmrak"}),
        ("E001", ["EMAIL_FALLBACK_PROVIDER=mailgun"], {"EMAIL_FALLBACK_PROVIDER": "malgun"}),
        ("E002", ["Set POSTMARK_SERVER_TOKEN", "API Tokens"], {"POSTMARK_SERVER_TOKEN": None}),
        ("E002", ["Set EMAIL_HOST", "smtp.example.com"], {"EMAIL_PROVIDER": "smtp"}),
        ("E002", ["Set MAILGUN_API_KEY"], {"EMAIL_FALLBACK_PROVIDER": "mailgun"}),
        ("E004", ["EMAIL_PROVIDER=console is for development"], {"EMAIL_PROVIDER": "console"}),
        (
            "E005",
            [
                "Set ANYMAIL_WEBHOOK_SECRET to the output of: python3 -c",
                "https://USER:PASSWORD@backoffice.example.com/anymail/postmark/tracking/",
                "Webhooks",
            ],
            {"ANYMAIL_WEBHOOK_SECRET": None},
        ),
        (
            "E005",
            ["Set MAILERSEND_SIGNING_SECRET", "https://backoffice.example.com/anymail/mailersend/tracking/"],
            {"EMAIL_PROVIDER": "mailersend", "MAILERSEND_API_TOKEN": "s3cr3t"},
        ),
        ("E006", ["is not user:password"], {"ANYMAIL_WEBHOOK_SECRET": "s3cr3t"}),
        ("E006", ["is not user:password"], {"ANYMAIL_WEBHOOK_SECRET": ":s3cr3t"}),
        ("E010", ["POSTMARK_API_URL", "It begins with https://"], {"POSTMARK_API_URL": "s3cr3t"}),
        ("E008", ["EMAIL_REDIRECT_CONFIRMED=true"], {"EMAIL_REDIRECT_TO": "staging@example.org"}),
        ("E009", ["Name another one"], {"EMAIL_FALLBACK_PROVIDER": "postmark"}),
    ],
)
def test_it_does_not_start(number: str, words: list[str], changed: dict[str, str | None]) -> None:
    done = start(**changed)
    assert done.returncode == 1
    assert f"emails.{number}" in done.stderr
    assert "s3cr3t" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    ("number", "changed"),
    [("E002", {"POSTMARK_SERVER_TOKEN": None}), ("E005", {"ANYMAIL_WEBHOOK_SECRET": None})],
)
def test_nor_does_gunicorn(number: str, changed: dict[str, str | None]) -> None:
    served = start("-c", "import backoffice.wsgi", **changed)
    assert served.returncode == 1
    assert served.stderr.startswith(f"Configuration error: emails.{number}: ")
    assert len(served.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("command", ["worker", "migrate"])
def test_no_command_that_works_with_email_starts(command: str) -> None:
    done = start(MANAGE, command, POSTMARK_SERVER_TOKEN=None)
    assert done.returncode == 1
    assert "POSTMARK_SERVER_TOKEN" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("number", "words", "changed"),
    [
        ("W001", ["DEFAULT_FROM_EMAIL is at example.com"], {"DEFAULT_FROM_EMAIL": "a@example.com"}),
        ("W001", ["DEFAULT_FROM_EMAIL is at localhost"], {"DEFAULT_FROM_EMAIL": "a@localhost"}),
        ("W001", ["SERVER_EMAIL is at x.example"], {"SERVER_EMAIL": "a@x.example"}),
        ("W001", ["DEFAULT_FROM_EMAIL is at mail.example.org"], {"DEFAULT_FROM_EMAIL": "a@mail.example.org"}),
        ("W002", ["SITE_URL is not https"], {"SITE_URL": "http://backoffice.example.com"}),
        ("W003", ["not allowed"], {"ALLOWED_HOSTS": "other.example.com"}),
    ],
)
def test_a_deployment_is_warned(number: str, words: list[str], changed: dict[str, str]) -> None:
    fine = {"DEFAULT_FROM_EMAIL": "Shop <shop@shop.internal>", "SECRET_KEY": secrets.token_urlsafe(50)}
    done = start(MANAGE, "check", "--deploy", "--fail-level=WARNING", **{**fine, **changed})
    assert done.returncode == 1
    assert f"emails.{number}" in done.stderr
    for word in words:
        assert word in done.stderr


def test_a_good_deployment_is_not() -> None:
    fine = {"DEFAULT_FROM_EMAIL": "Shop <shop@myexample.com>", "SECRET_KEY": secrets.token_urlsafe(50)}
    assert start(MANAGE, "check", "--deploy", "--fail-level=WARNING", **fine).returncode == 0


def test_celery_does_not_start_either(tmp_path: Path) -> None:
    for program in (["worker"], ["beat", f"--schedule={tmp_path / 'schedule'}"]):
        command = ["celery", "-A", "backoffice.celery", *program]
        code = f"import sys; sys.argv = {command!r}; from celery.__main__ import main; main()"
        broker = {"TASK_BACKEND": "celery", "CELERY_BROKER_URL": "redis://127.0.0.1:9/0"}
        done = start("-c", code, **broker, EMAIL_REDIRECT_TO="staging@example.org")
        assert done.returncode == 1, done.stderr
        assert "Configuration error: emails.E008" in done.stderr


def test_a_confirmed_redirect_starts() -> None:
    assert start(EMAIL_REDIRECT_TO="staging@example.org", EMAIL_REDIRECT_CONFIRMED="true").returncode == 0


def test_a_package_that_is_missing_is_named_with_the_line_that_installs_it(tmp_path: Any) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name in {'boto3', 'svix', 'cryptography'} else find(name, *a)\n"
    )
    for key, extra in (
        ("amazon_ses", "amazon-ses"),
        ("resend", "resend"),
        ("postal", "postal"),
        ("sendgrid", "sendgrid"),
    ):
        env = {**GOOD, **environment(key), "PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}
        command = [sys.executable, MANAGE, "check"]  # From nothing: Python itself has to read the path.
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert "emails.E003" in done.stderr, key
        assert f"requirements-{extra}.txt" in done.stderr
        assert (ROOT / f"requirements-{extra}.txt").is_file()


@pytest.mark.parametrize("key", [key for key in PROVIDERS if key != "console"])
def test_every_provider_starts_with_what_the_table_says_it_needs(key: str, settings: Any) -> None:
    configure(settings, **environment(key))
    settings.DEBUG = False
    found = checks.run_checks(tags=[TAG])
    assert [message for message in found if message.is_serious()] == []


@pytest.mark.parametrize("key", REPORTING)
def test_in_development_a_closed_webhook_is_a_warning(key: str, settings: Any) -> None:
    configure(settings, EMAIL_PROVIDER=key, **dict.fromkeys(PROVIDERS[key].required, "value"))
    settings.DEBUG = True
    numbers = {message.id for message in checks.run_checks(tags=[TAG])}
    signs_anyway = key in {"mailgun", "unisender_go"}
    assert ("emails.W005" in numbers) is not signs_anyway
    assert "emails.E005" not in numbers


class TestKinds:
    def numbers(self, kind: EmailKind) -> set[str]:
        with patch.dict(kinds.KINDS, {kind.key: kind}, clear=True):
            return {str(message.id) for message in checks.run_checks(tags=[TAG])}

    def test_both_templates_are_there(self, settings: Any) -> None:
        assert "emails.E007" not in {message.id for message in checks.run_checks(tags=[TAG])}
        assert "emails.E007" in self.numbers(EmailKind("nothing", "n", "w", templates="accounts/emails"))

    def test_a_broken_one_is_as_good_as_none(self, settings: Any, tmp_path: Any) -> None:
        settings.TEMPLATES = [settings.TEMPLATES[0] | {"DIRS": [tmp_path]}]
        (tmp_path / "k.txt").write_text("Subject\n\nText")
        for broken in ("{% if %}", "{% url 'nowhere' %}", "{% include 'nothing' %}"):
            (tmp_path / "k.html").write_text(broken)
            assert "emails.E007" in self.numbers(EmailKind("k", "n", "w", templates="."))

    def test_a_large_one_is_warned_of(self, settings: Any, tmp_path: Any) -> None:
        settings.TEMPLATES = [settings.TEMPLATES[0] | {"DIRS": [tmp_path]}]
        (tmp_path / "k.txt").write_text("Subject\n\nText")
        (tmp_path / "k.html").write_text("<p>" + "x" * 100_001)
        assert "emails.W004" in self.numbers(EmailKind("k", "n", "w", templates="."))


KIND = """
import django
from django.conf import settings
settings.TEMPLATES[0]["DIRS"].append({folder!r})
django.setup()
from django.core.management import call_command
from emails.kinds import EmailKind, register
register(EmailKind("k", "n", "w", templates="."))
call_command("check", fail_level="WARNING")
"""


def test_a_site_with_such_a_kind_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "k.txt").write_text("Subject\n\nText")
    env = {"DJANGO_SETTINGS_MODULE": "backoffice.settings", "PYTHONPATH": str(ROOT)}
    done = start("-c", KIND.format(folder=str(tmp_path)), **env)
    assert done.returncode == 1
    assert "emails.E007" in done.stderr
    (tmp_path / "k.html").write_text("<p>" + "x" * 100_001)
    done = start("-c", KIND.format(folder=str(tmp_path)), **env)
    assert done.returncode == 1
    assert "emails.W004" in done.stderr


def test_a_site_whose_queue_is_stuck_is_warned(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.manage("sendtestemail", "a@example.com")
        site.python("from emails.models import EmailLog; EmailLog.objects.update(run_at='2026-01-01T00:00:00Z')")
        done = site.manage("check", "--deploy", "--tag", "emails", "--fail-level=WARNING", check=False)
        assert "emails.W006" in done.stderr
        assert "Start manage.py worker" in done.stderr


@pytest.mark.django_db
@pytest.mark.usefixtures("asleep")
def test_a_queue_that_is_stuck_is_warned_of(settings: Any) -> None:
    def numbers() -> set[str]:
        found = checks.run_checks(tags=[TAG], include_deployment_checks=True)
        return {str(message.id) for message in found}

    EmailMessage("s", "b", to=["a@example.com"]).send()
    assert "emails.W006" not in numbers()
    EmailLog.objects.update(run_at=Now() - timedelta(minutes=11))
    assert "emails.W006" in numbers()


def test_no_hint_shows_a_secret() -> None:
    """A whole environment full of secrets, and nothing of them in what is printed."""
    for key in ("mailgun", "amazon_ses"):
        values = {name: f"s3cr3t-{name}" for name in environment(key) if name not in {"EMAIL_PROVIDER"}}
        values |= {"AMAZON_SES_CLIENT_PARAMS": json.dumps({"region_name": "s3cr3t"})}
        values = {name: value for name, value in values.items() if not name.endswith("_API_URL")}
        done = start(MANAGE, "check", "--deploy", DEBUG="true", EMAIL_PROVIDER=key, **values)
        assert "s3cr3t" not in done.stdout + done.stderr
