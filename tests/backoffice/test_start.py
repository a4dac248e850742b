"""Starting with an environment that is wrong: one line that names the variable, its shape and an example."""

import os
import subprocess
from pathlib import Path
from runpy import run_path
from typing import Any
from unittest.mock import patch

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests import zygote
from tests.site import ROOT

GOOD = {
    "SECRET_KEY": "a-key-of-no-importance",
    "ALLOWED_HOSTS": "backoffice.example.com",
    "SITE_URL": "https://backoffice.example.com",
    "EMAIL_PROVIDER": "postmark",
    "POSTMARK_SERVER_TOKEN": "server-token",
    "DEFAULT_FROM_EMAIL": "Backoffice <backoffice@example.com>",
    "DATABASE_URL": "sqlite:///:memory:",
    "ANYMAIL_WEBHOOK_SECRET": "user:password",
}


def start(*command: str, **environment: str | None) -> "subprocess.CompletedProcess[str]":
    values = {**GOOD, "ENV_FILE": os.devnull, "PATH": os.environ["PATH"], **environment}
    env = {name: value for name, value in values.items() if value is not None}
    return zygote.run(list(command or (str(ROOT / "manage.py"), "check")), env)


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
        ("EMAIL_REDIRECT_TO", "s3cr3t", ["one email address", "staging@example.com"]),
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
        ("DEFAULT_FROM_EMAIL", "s3cr3t", ["one email address"]),
        ("DEFAULT_FROM_EMAIL", "a@example.com, b@example.com", ["one email address"]),
        ("TIME_ZONE", "Mars/s3cr3t", ["Europe/Berlin"]),
        ("ENV_FILE", "/nowhere/s3cr3t", ["readable text file"]),
        ("ANYMAIL_REQUESTS_TIMEOUT", "soon", ["a whole number"]),
    ],
)
def test_a_wrong_value_is_one_line_that_says_what_to_do(variable: str, value: str | None, words: list[str]) -> None:
    with pytest.raises(ImproperlyConfigured) as error:
        settings_under(**{variable: value})
    line = str(error.value)
    assert "\n" not in line
    assert variable in line
    assert "for example" in line
    assert "s3cr3t" not in line
    for word in words:
        assert word in line


@pytest.mark.parametrize("command", ["check", "migrate", "worker", "runserver", "help"])
def test_every_command_says_that_line_and_nothing_else(command: str) -> None:
    done = start(str(ROOT / "manage.py"), command, SITE_URL="s3cr3t")
    assert done.returncode == 1
    assert done.stderr.startswith("Configuration error: SITE_URL is not valid: expected an absolute URL")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "s3cr3t" not in done.stderr


def test_gunicorns_entry_says_the_same_line() -> None:
    done = start("-c", "import backoffice.wsgi", EMAIL_PROVIDER=None)
    assert done.returncode == 1
    assert done.stderr.startswith("Configuration error: Set EMAIL_PROVIDER")
    assert "Traceback" not in done.stderr


def settings_under(**environment: str | None) -> dict[str, Any]:
    """The settings module, executed anew under this environment."""
    values = {**GOOD, "ENV_FILE": os.devnull, **environment}
    with patch.dict(os.environ, {name: value for name, value in values.items() if value is not None}, clear=True):
        return run_path(str(ROOT / "backoffice" / "settings.py"))


def read(*names: str, **environment: str | None) -> list[Any]:
    values = settings_under(**environment)
    return [values[name] for name in names]


def test_debug_is_off_by_default() -> None:
    assert read("DEBUG") == [False]


def test_every_variable_of_a_provider_reaches_anymail() -> None:
    anymail = settings_under(
        POSTMARK_SERVER_TOKEN="$pa$$ #w'o\"rd ",
        POSTMARK_USE_BULK_API="False",
        POSTMARK_NOT_INVENTED_YET="42",
        AMAZON_SES_CLIENT_PARAMS='{"region_name": "eu-central-1"}',
        ANYMAIL_WEBHOOK_SECRET="user:password",
    )["ANYMAIL"]
    assert anymail == {
        "REQUESTS_TIMEOUT": 30,
        "POSTMARK_SERVER_TOKEN": "$pa$$ #w'o\"rd ",
        "POSTMARK_USE_BULK_API": False,
        "POSTMARK_NOT_INVENTED_YET": "42",
        "AMAZON_SES_CLIENT_PARAMS": {"region_name": "eu-central-1"},
        "WEBHOOK_SECRET": "user:password",
    }


def test_values_come_from_files_stripped(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from a file\n")
    (tmp_path / "token").write_text("token from a file\n\n")
    key, anymail = read(
        "SECRET_KEY",
        "ANYMAIL",
        SECRET_KEY_FILE=str(tmp_path / "key"),
        POSTMARK_SERVER_TOKEN=None,
        POSTMARK_SERVER_TOKEN_FILE=str(tmp_path / "token"),
    )
    assert (key, anymail["POSTMARK_SERVER_TOKEN"]) == ("from a file", "token from a file")


def test_a_key_that_starts_with_a_dollar_sign_is_a_key(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SECRET_KEY=$ecret#key\n")
    assert read("SECRET_KEY", SECRET_KEY=None, ENV_FILE=str(tmp_path / ".env")) == ["$ecret#key"]


@pytest.mark.parametrize("line", ["SECRET_KEY = s3cr3t", "PASSWORD s3cr3t", "-x=s3cr3t", "MY SECRET=s3cr3t"])
def test_a_line_that_would_be_passed_over_stops_the_start_without_being_shown(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"# fine\n\nexport A=b\n{line}\n")
    done = start(SECRET_KEY=None, ENV_FILE=str(tmp_path / ".env"))
    assert done.stderr == "Configuration error: .env, line 4: write NAME=value, without blanks around =\n"


def test_a_file_in_another_encoding_is_one_line_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("A=größe\n".encode("latin-1"))
    with pytest.raises(ImproperlyConfigured, match="UTF-8"):
        settings_under(ENV_FILE=str(tmp_path / ".env"))


def test_a_key_may_begin_with_a_brace_and_a_time_out_is_a_number() -> None:
    anymail = settings_under(POSTMARK_SERVER_TOKEN="{key", BREVO_API_KEY="true", ANYMAIL_REQUESTS_TIMEOUT="10")[
        "ANYMAIL"
    ]
    assert (anymail["POSTMARK_SERVER_TOKEN"], anymail["REQUESTS_TIMEOUT"]) == ("{key", 10)
    assert anymail["BREVO_API_KEY"] == "true"


def test_a_database_that_does_not_answer_is_one_line() -> None:
    done = start(str(ROOT / "manage.py"), "migrate", DATABASE_URL="postgres://u:s3cr3t@127.0.0.1:9/db")
    assert done.returncode == 1
    assert done.stderr.startswith("The database does not do as it is told: ")
    assert "DATABASE_URL" in done.stderr
    assert "s3cr3t" not in done.stderr
    assert "Traceback" not in done.stderr


def test_https_makes_everything_secure_and_http_is_possible_behind_closed_doors() -> None:
    flags = ["SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS"]
    assert read(*flags) == [True, True, True, 31_536_000]
    assert read(*flags, SITE_URL="http://intranet:8000", ALLOWED_HOSTS="intranet") == [False, False, False, 0]


def test_sqlite_waits_for_its_turn() -> None:
    (databases,) = read("DATABASES", DATABASE_URL="sqlite:////tmp/x.sqlite3")
    assert databases["default"]["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in databases["default"]["OPTIONS"]["init_command"]


def test_postgres_keeps_its_connections() -> None:
    (databases,) = read("DATABASES", DATABASE_URL="postgres://u:p%23w%40@h:5433/db?sslmode=require")
    database = databases["default"]
    assert (database["PASSWORD"], database["CONN_MAX_AGE"], database["CONN_HEALTH_CHECKS"]) == ("p#w@", 60, True)
    assert database["OPTIONS"]["sslmode"] == "require"


@pytest.mark.parametrize("command", ["demo", "run"])
def test_development_commands_refuse_in_production(command: str) -> None:
    done = start(str(ROOT / "manage.py"), command)
    assert done.returncode == 1
    assert "DEBUG=true" in done.stderr
    assert "Traceback" not in done.stderr
