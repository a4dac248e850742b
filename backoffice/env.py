"""Typed readers of the environment. Their errors name the variable, its shape and an example, never the value."""

import json
import os
import re
from collections.abc import Mapping
from email.utils import getaddresses
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import environ
from django.core.exceptions import ImproperlyConfigured

TRUE, FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}
BROKER_EXAMPLE = "redis://localhost:6379/0"
DATABASE_EXAMPLE = "postgres://user:password@localhost:5432/backoffice"


class Env:
    """Reads variables of one environment; `<NAME>_FILE` names a file that holds the value (stripped)."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment

    @classmethod
    def load(cls, path: Path) -> "Env":
        """The process environment, completed by the `.env` file at `path` (what is set already wins)."""
        if not path.exists() and path.name != ".env":
            raise malformed("ENV_FILE", "the path of a readable text file", "/etc/backoffice.env")
        if path.is_file():
            try:
                lines = path.read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise ImproperlyConfigured(
                    f"{path.name} can't be read as UTF-8 text: {type(error).__name__}"
                ) from error
            for number, line in enumerate(lines, 1):
                # django-environ would log such a line whole, secret and all, and go on without it.
                if not re.match(r"\s*(#|$)|(export )?[A-Za-z_]\w*=", line):
                    raise ImproperlyConfigured(f"{path.name}, line {number}: write NAME=value, without blanks around =")
            environ.Env.read_env(path)
        return cls(os.environ)

    def get(self, name: str) -> str:
        """The raw value, or "" where it is not set. Raises ImproperlyConfigured where `<name>_FILE` can't be read."""
        path = self.environment.get(f"{name}_FILE", "")
        if not path:
            return self.environment.get(name, "")
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise malformed(
                f"{name}_FILE", "the path of a readable text file", f"/run/secrets/{name.lower()}"
            ) from error

    def text(self, name: str, *, default: str | None = None, shape: str = "a text", example: str = "") -> str:
        value = self.get(name) or default
        if value is None:
            raise ImproperlyConfigured(f"Set {name}: {shape}, for example {name}={example}")
        return value

    def boolean(self, name: str, *, default: bool) -> bool:
        value = self.get(name).strip().lower()
        if not value:
            return default
        if value not in TRUE | FALSE:
            raise malformed(name, "true or false", "false")
        return value in TRUE

    def integer(self, name: str, *, default: int, least: int = 1, most: int = 1_000_000) -> int:
        value = self.get(name).strip()
        if not value:
            return default
        if not re.fullmatch(r"[0-9]{1,9}", value) or not least <= int(value) <= most:
            raise malformed(name, f"a whole number from {least} to {most}", str(default))
        return int(value)

    def number(self, name: str, *, default: float | None, least: float, most: float) -> float | None:
        value = self.get(name).strip()
        if not value:
            return default
        if not re.fullmatch(r"[0-9]{1,9}([.][0-9]{1,6})?", value) or not least <= float(value) <= most:
            raise malformed(name, f"a number from {least} to {most}, or nothing", "14")
        return float(value)

    def names(self, name: str, *, default: list[str] | None, example: str) -> list[str]:
        values = [item.strip() for item in self.get(name).split(",") if item.strip()]
        if values:
            return values
        if default is None:
            raise ImproperlyConfigured(f"Set {name}: names separated by commas, for example {name}={example}")
        return default

    def choice(self, name: str, choices: list[str], *, default: str | None) -> str:
        value = self.get(name).strip().lower() or default
        if value is None:
            raise ImproperlyConfigured(f"Set {name}: one of {', '.join(choices)}, for example {name}={choices[-1]}")
        if value not in choices:
            raise malformed(name, f"one of {', '.join(choices)}", choices[-1])
        return value

    def url(self, name: str, *, default: str | None, example: str) -> str:
        """An absolute http(s) URL without a path, returned without a trailing slash."""
        value = self.text(name, default=default, shape="an absolute URL without a path", example=example)
        try:
            parts = urlsplit(value)
            valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.path in {"", "/"}
            valid = valid and not (parts.query or parts.fragment or parts.username) and parts.port != 0
        except ValueError:
            valid = False
        if not valid:
            raise malformed(name, "an absolute URL without a path", example)
        return value.rstrip("/")

    def address(self, name: str) -> str:
        """A bare email address, or "" where none is set."""
        value = self.get(name).strip()
        if value and not re.fullmatch(r"[^@\s<>,;]+@[^@\s<>,;]+", value):
            raise malformed(name, "one email address without a name, or nothing", "staging@example.com")
        return value

    def sender(self, name: str, *, default: str | None) -> str:
        """An address that mail can come from, with or without a name."""
        example = "Backoffice <backoffice@example.com>"
        value = self.text(name, default=default, shape="the address that mail comes from", example=example)
        parsed = getaddresses([value])
        if len(parsed) != 1 or not re.fullmatch(r"[^@\s]+@[^@\s]+", parsed[0][1]):
            raise malformed(name, "one email address, with or without a name", example)
        return value

    def patterns(self, name: str) -> list[str]:
        """Regular expressions with one group each, as a JSON list of texts; [] where none is set."""
        example = r'["https://shop[.]example[.]com/magic/([0-9a-f]{32})"]'
        try:
            values = json.loads(self.get(name) or "[]")
            valid = isinstance(values, list) and all(re.compile(value).groups == 1 for value in values)
        except (ValueError, TypeError, re.error):
            valid = False
        if not valid:
            raise malformed(name, "a JSON list of regular expressions with one group each", example)
        return list(values)

    def time_zone(self, name: str, *, default: str) -> str:
        value = self.get(name) or default
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise malformed(name, "the name of a time zone", "Europe/Berlin") from error
        return value

    def broker(self, name: str, *, required: bool) -> str:
        """The URL of a message broker, or "" where none is set. Its package has to be there where it is `required`."""
        value = self.get(name)
        if not value and required:
            raise ImproperlyConfigured(f"Set {name}: where Celery's tasks wait, for example {name}={BROKER_EXAMPLE}")
        if value and value.partition("://")[0] not in {"redis", "rediss", "amqp", "amqps"}:
            raise malformed(name, "a redis:// or amqp:// URL", BROKER_EXAMPLE)
        if required and find_spec("celery") is None:
            raise ImproperlyConfigured(
                "TASK_BACKEND=celery needs a package: pip install --require-hashes -r requirements-celery.txt"
            )
        return value

    def database(self, name: str, *, default: str) -> dict[str, Any]:
        """A Django DATABASES entry. SQLite writes wait for their turn (WAL, IMMEDIATE) instead of failing as locked."""
        value = self.get(name) or default
        scheme = value.partition("://")[0]
        if scheme not in {"sqlite", "postgres", "postgresql"} or "://" not in value:
            raise malformed(name, "a sqlite:/// or postgres:// URL", DATABASE_EXAMPLE)
        try:
            config: dict[str, Any] = dict(environ.Env.db_url_config(value))
        except Exception as error:
            raise malformed(name, "a sqlite:/// or postgres:// URL", DATABASE_EXAMPLE) from error
        if not config.get("NAME"):
            raise malformed(name, "a database URL that ends with the database's name", DATABASE_EXAMPLE)
        options = config.setdefault("OPTIONS", {})
        if scheme == "sqlite":
            options.setdefault("transaction_mode", "IMMEDIATE")
            options.setdefault("timeout", 20)
            options.setdefault("init_command", "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL")
        else:
            config.setdefault("CONN_MAX_AGE", 60)
            config.setdefault("CONN_HEALTH_CHECKS", True)
        return config

    def prefixed(self, prefixes: tuple[str, ...]) -> dict[str, Any]:
        """Every variable that starts with one of `prefixes`, as Anymail wants it: booleans and JSON become values."""
        names = {name.removesuffix("_FILE") for name in self.environment if name.startswith(prefixes)}
        return {name: self._anymail_value(name) for name in sorted(names) if self.get(name)}

    def _anymail_value(self, name: str) -> Any:
        value = self.get(name)
        if value.lower() in {"true", "false"} and not name.endswith(("_KEY", "_TOKEN", "_SECRET")):
            return value.lower() == "true"
        if name.endswith("_TIMEOUT"):
            return self.integer(name, default=30, most=600)
        is_object = name.endswith(("_PARAMS", "_DEFAULTS"))
        try:
            return json.loads(value) if is_object or value.startswith("{") else value
        except ValueError as error:
            if not is_object:  # A key may well begin with a brace.
                return value
            raise malformed(name, "a JSON object", '{"region_name": "eu-central-1"}') from error


def malformed(name: str, shape: str, example: str) -> ImproperlyConfigured:
    """An error for a value that is set but can't be used; the value itself is never part of it."""
    return ImproperlyConfigured(f"{name} is not valid: expected {shape}, for example {name}={example}")
