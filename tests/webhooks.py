"""A provider that reports: its environment, its events, and posts that are signed as it signs."""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from runpy import run_path
from tempfile import mkdtemp
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.test import Client

from emails.models import EmailLog
from emails.providers import PROVIDERS
from emails.samples import SAMPLES, Happening
from emails.signing import post
from tests.site import ROOT

SITE = "https://backoffice.example.com"
REPORTING = [key for key, provider in PROVIDERS.items() if provider.reports]
EVENTS = {key: provider.webhook.events for key, provider in PROVIDERS.items() if provider.webhook is not None}
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def environment(key: str, api_url: str = "http://127.0.0.1:9/") -> dict[str, str]:
    """Everything that an operator sets for a provider, pointed at a loopback address."""
    provider = PROVIDERS[key]
    signing = {
        "MAILERSEND_SIGNING_SECRET": "signing-secret",
        "MAILTRAP_TRACKING_SECRET": "tracking-secret",
        "MANDRILL_WEBHOOK_KEY": "webhook-key",
        "POSTAL_WEBHOOK_KEY": public_half("postal"),
        "RESEND_SIGNING_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": public_half("sendgrid"),
        "AMAZON_SES_CLIENT_PARAMS": json.dumps({"region_name": "eu-central-1", "endpoint_url": api_url}),
        "MAILGUN_SENDER_DOMAIN": "example.com",
    }
    needed = {name: f"{name.lower()}-value" for name in provider.required}
    values = {**needed, **{name: value for name, value in signing.items() if name.startswith(provider.prefix)}}
    if provider.prefix and key != "amazon_ses":
        values[f"{provider.prefix}API_URL"] = api_url
    if provider.webhook is not None and provider.webhook.basic:
        values["ANYMAIL_WEBHOOK_SECRET"] = "user:pass word#1"
    return {"EMAIL_PROVIDER": key, **values}


def settings_under(**values: str | None) -> dict[str, Any]:
    """The settings module, executed anew under this environment alone."""
    kept = {name: value for name, value in {"ENV_FILE": os.devnull, **values}.items() if value is not None}
    with patch.dict(os.environ, kept, clear=True):
        return run_path(str(ROOT / "backoffice" / "settings.py"))


def configure(settings: Any, **values: str) -> None:
    """Make the test's settings those that this environment leads to, as far as email is concerned."""
    base = {
        "SECRET_KEY": "x",
        "ALLOWED_HOSTS": "backoffice.example.com",
        "SITE_URL": SITE,
        "DEFAULT_FROM_EMAIL": "Backoffice <backoffice@example.com>",
        "EMAIL_TIMEOUT": "5",
    }
    read = settings_under(**{**base, **values})
    settings.EMAILS, settings.ANYMAIL = read["EMAILS"], read["ANYMAIL"]
    settings.ALLOWED_HOSTS = ["backoffice.example.com", "testserver"]


@cache
def key_pair(key: str) -> Any:
    return ec.generate_private_key(ec.SECP256R1()) if key == "sendgrid" else rsa.generate_private_key(65537, 1024)


@cache
def private_half(key: str) -> Path | None:
    if key not in {"postal", "sendgrid"}:
        return None
    path = Path(mkdtemp()) / f"{key}.pem"
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(key_pair(key).private_bytes(encoding, form, serialization.NoEncryption()))
    return path


def public_half(key: str) -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    lines = key_pair(key).public_key().public_bytes(encoding, form).decode().splitlines()
    return "".join(lines[1:-1])


def happening(email: EmailLog, kind: str, **facts: Any) -> Happening:
    recipient = email.recipients.all()[0]
    values = {
        "ref": str(email.ref),
        "message_id": recipient.message_id or email.message_id,
        "to": recipient.address,
        "at": NOON,
        "event_id": str(uuid4()),
    }
    return Happening(type=kind, **{**values, **facts})


def event(key: str, email: EmailLog, kind: str, **facts: Any) -> Any:
    return SAMPLES[key](happening(email, kind, **facts))


def report(key: str, *events: Any, client: Client | None = None, **changed: Any) -> Any:
    """Post events as the provider does; the response."""
    return post_as(client or Client(), key, events, **changed)


def post_as(client: Client, key: str, events: Sequence[Any], **headers: Any) -> Any:
    path = f"/anymail/{key}/tracking/"
    made = post(PROVIDERS[key], events, SITE + path, private_half(key))
    return send(client, path, made.body, {**made.headers, **headers})


def send(client: Client, path: str, body: bytes, headers: dict[str, str]) -> Any:
    content_type = headers.get("Content-Type", "application/json")
    others = {name: value for name, value in headers.items() if name != "Content-Type"}
    host = {"headers": {**others, "Host": "backoffice.example.com"}, "secure": True}
    return client.post(path, data=body, content_type=content_type, **host)  # type: ignore[arg-type]
