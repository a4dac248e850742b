"""Starting with an environment that is wrong: one line that names the variable, its shape and an example."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.site import ROOT

GOOD = {
    "SECRET_KEY": "a-key-of-no-importance",
    "ALLOWED_HOSTS": "backoffice.example.com",
    "SITE_URL": "https://backoffice.example.com",
    "EMAIL_PROVIDER": "postmark",
    "POSTMARK_SERVER_TOKEN": "server-token",
    "DEFAULT_FROM_EMAIL": "Backoffice <backoffice@example.com>",
    "DATABASE_URL": "sqlite:///:memory:",
}


def start(*command: str, **environment: str | None) -> "subprocess.CompletedProcess[str]":
    values = {**GOOD, "ENV_FILE": os.devnull, "PATH": os.environ["PATH"], **environment}
    return subprocess.run(
        [sys.executable, *(command or (str(ROOT / "manage.py"), "check"))],
        env={name: value for name, value in values.items() if value is not None},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_complete_environment_starts() -> None:
    done = start()
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("SECRET_KEY", None, ["secrets.token_urlsafe"]),
        ("ALLOWED_HOSTS", None, ["ALLOWED_HOSTS=backoffice.example.com"]),
        ("SITE_URL", None, ["absolute URL", "SITE_URL=https://backoffice.example.com"]),
        ("SITE_URL", "backoffice.example.com", ["absolute URL"]),
        ("SITE_URL", "https://backoffice.example.com/path", ["without a path"]),
        ("SITE_URL", "https://[broken", ["absolute URL"]),
        ("EMAIL_PROVIDER", None, ["one of smtp", "postmark"]),
        ("EMAIL_PROVIDER", "postmrk", ["one of smtp", "postmark"]),
        ("EMAIL_PROVIDER", "console", ["one of smtp"]),
        ("POSTMARK_SERVER_TOKEN", None, ["Postmark can't send without it"]),
        ("DEFAULT_FROM_EMAIL", None, ["Backoffice <backoffice@example.com>"]),
        ("DEBUG", "maybe", ["true or false"]),
        ("DATABASE_URL", "notaurl-s3cr3t", ["postgres://"]),
        ("DATABASE_URL", "mysql://u:s3cr3t@h/n", ["postgres://"]),
        ("DATABASE_URL", "postgres://u:s3cr3t@h:5432", ["ends with the database's name"]),
        ("EMAIL_CONCURRENCY", "many", ["a whole number from 1 to 256"]),
        ("EMAIL_CONCURRENCY", "0", ["a whole number from 1 to 256"]),
        ("EMAIL_LEASE_SECONDS", "1", ["from 5 to 3600"]),
        ("EMAIL_TIMEOUT", "-1", ["a whole number"]),
        ("TASK_BACKEND", "redis", ["immediate, db"]),
        ("SECRET_KEY_FILE", "/nowhere/s3cr3t", ["readable text file"]),
        ("POSTMARK_SEND_DEFAULTS", "{s3cr3t", ["a JSON object"]),
    ],
)
def test_a_wrong_value_is_one_line_that_says_what_to_do(variable: str, value: str | None, words: list[str]) -> None:
    done = start(**{variable: value})
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("Configuration error: ")
    assert variable in lines[0]
    assert "for example" in lines[0]
    assert "s3cr3t" not in lines[0]
    for word in words:
        assert word in lines[0]


def test_gunicorns_entry_says_the_same_line() -> None:
    done = start("-c", "import backoffice.wsgi", EMAIL_PROVIDER=None)
    assert done.returncode == 1
    assert done.stderr.startswith("Configuration error: Set EMAIL_PROVIDER")
    assert "Traceback" not in done.stderr


def read(expression: str, **environment: str | None) -> str:
    code = f"from django.conf import settings as s; print(repr({expression}), end='')"
    done = start("-c", code, DJANGO_SETTINGS_MODULE="backoffice.settings", **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_debug_is_off_by_default() -> None:
    assert read("s.DEBUG") == "False"


def test_every_variable_of_a_provider_reaches_anymail() -> None:
    values = read(
        "[s.ANYMAIL[n] for n in ('POSTMARK_SERVER_TOKEN', 'POSTMARK_USE_BULK_API', 'POSTMARK_NOT_INVENTED_YET',"
        " 'AMAZON_SES_CLIENT_PARAMS', 'WEBHOOK_SECRET')]",
        POSTMARK_SERVER_TOKEN="$pa$$ #w'o\"rd ",
        POSTMARK_USE_BULK_API="False",
        POSTMARK_NOT_INVENTED_YET="42",
        AMAZON_SES_CLIENT_PARAMS='{"region_name": "eu-central-1"}',
        ANYMAIL_WEBHOOK_SECRET="user:password",
    )
    assert values == repr(["$pa$$ #w'o\"rd ", False, "42", {"region_name": "eu-central-1"}, "user:password"])


def test_values_come_from_files_stripped(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from a file\n")
    (tmp_path / "token").write_text("token from a file\n\n")
    values = read(
        "[s.SECRET_KEY, s.ANYMAIL['POSTMARK_SERVER_TOKEN']]",
        SECRET_KEY_FILE=str(tmp_path / "key"),
        POSTMARK_SERVER_TOKEN=None,
        POSTMARK_SERVER_TOKEN_FILE=str(tmp_path / "token"),
    )
    assert values == "['from a file', 'token from a file']"


def test_a_key_that_starts_with_a_dollar_sign_is_a_key(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SECRET_KEY=$ecret#key\n")
    assert read("s.SECRET_KEY", SECRET_KEY=None, ENV_FILE=str(tmp_path / ".env")) == "'$ecret#key'"


def test_https_makes_everything_secure_and_http_is_possible_behind_closed_doors() -> None:
    flags = "[s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.SECURE_SSL_REDIRECT, s.SECURE_HSTS_SECONDS > 0]"
    assert read(flags) == "[True, True, True, True]"
    assert read(flags, SITE_URL="http://intranet:8000", ALLOWED_HOSTS="intranet") == "[False, False, False, False]"


def test_sqlite_waits_for_its_turn() -> None:
    options = read("s.DATABASES['default']['OPTIONS']", DATABASE_URL="sqlite:////tmp/x.sqlite3")
    assert "'transaction_mode': 'IMMEDIATE'" in options
    assert "journal_mode=WAL" in options


@pytest.mark.parametrize("command", ["demo", "run"])
def test_development_commands_refuse_in_production(command: str) -> None:
    done = start(str(ROOT / "manage.py"), command)
    assert done.returncode == 1
    assert "DEBUG=true" in done.stderr
    assert "Traceback" not in done.stderr
