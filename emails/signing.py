"""Posts that are signed as each provider signs its reports. For trying the road only: nothing of it is used to receive.

Sources: the providers' pages on securing webhooks, and Anymail's validators, which these have to satisfy.
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.conf import settings

from emails.providers import Provider

try:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, padding
except ImportError:  # Needed for Postal and SendGrid alone.
    hashes = None  # type: ignore[assignment]


class CannotSign(Exception):
    """Why a post can't be signed, and what to do."""


@dataclass
class Post:
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


def post(provider: Provider, events: Sequence[Any], url: str, private_key: Path | None = None) -> Post:
    """`events` of `provider` as it would post them to `url`, authenticated. Raises CannotSign.

    Postal and SendGrid sign with a key that only they have: `private_key` is a PEM file whose public half is the one
    that the environment names.
    """
    made = WRAP.get(provider.key, single)(events)
    secret = settings.ANYMAIL.get("WEBHOOK_SECRET", "")
    if secret and not provider.is_signed:
        made.headers["Authorization"] = "Basic " + base64.b64encode(str(secret).encode()).decode()
    if provider.is_signed:
        SIGN[provider.key](made, url, private_key)
    return made


def single(events: Sequence[Any]) -> Post:
    (event,) = events
    return Post(json.dumps(event).encode())


def several(events: Sequence[Any]) -> Post:
    return Post(json.dumps(list(events)).encode())


def as_notification(events: Sequence[Any]) -> Post:
    made = single(events)
    said = events[0] if isinstance(events[0], dict) else {}
    made.headers["X-Amz-Sns-Message-Type"] = str(said.get("Type", ""))
    made.headers["X-Amz-Sns-Message-Id"] = str(said.get("MessageId", ""))
    return made


def as_form(events: Sequence[Any]) -> Post:
    body = urlencode({"mandrill_events": json.dumps(list(events))}).encode()
    return Post(body, {"Content-Type": "application/x-www-form-urlencoded"})


def as_events(events: Sequence[Any]) -> Post:
    return Post(json.dumps({"events": list(events)}).encode())


def by_user(events: Sequence[Any]) -> Post:
    told = [{"event_name": "transactional_email_status", "event_data": event} for event in events]
    return Post(json.dumps({"auth": "0" * 32, "events_by_user": [{"user_id": 1, "events": told}]}).encode())


WRAP: dict[str, Callable[[Sequence[Any]], Post]] = {
    "amazon_ses": as_notification,
    "mailjet": several,
    "mailtrap": as_events,
    "mandrill": as_form,
    "sendgrid": several,
    "sparkpost": several,
    "unisender_go": by_user,
}
BATCHES = set(WRAP) - {"amazon_ses"}  # Those that post several events at once.


def setting(name: str) -> bytes:
    return str(settings.ANYMAIL[name]).encode()


def hexdigest(key: bytes, message: bytes) -> str:
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def sign_mailersend(made: Post, url: str, private_key: Path | None) -> None:
    made.headers["Signature"] = hexdigest(setting("MAILERSEND_SIGNING_SECRET"), made.body)


def sign_mailgun(made: Post, url: str, private_key: Path | None) -> None:
    """The token is what makes an event the one it is: one that is there already stays."""
    event = json.loads(made.body)
    if not isinstance(event, dict):
        return
    about = event["event-data"] if isinstance(event.get("event-data"), dict) else {}
    token = hashlib.sha256(str(about.get("id")).encode(errors="replace")).hexdigest()[:50]
    signed_at = str(int(time.time()))
    key = settings.ANYMAIL.get("MAILGUN_WEBHOOK_SIGNING_KEY") or settings.ANYMAIL["MAILGUN_API_KEY"]
    signature = hexdigest(str(key).encode(), f"{signed_at}{token}".encode())
    made.body = json.dumps(
        {**event, "signature": {"timestamp": signed_at, "token": token, "signature": signature}}
    ).encode()


def sign_mailtrap(made: Post, url: str, private_key: Path | None) -> None:
    made.headers["Mailtrap-Signature"] = hexdigest(setting("MAILTRAP_TRACKING_SECRET"), made.body)


def sign_mandrill(made: Post, url: str, private_key: Path | None) -> None:
    """HMAC-SHA1 of the URL, followed by each form field's name and value, in the order of their names."""
    signed = str(settings.ANYMAIL.get("MANDRILL_WEBHOOK_URL") or url)
    events = dict(parse_qsl(made.body.decode()))["mandrill_events"]
    digest = hmac.new(
        setting("MANDRILL_WEBHOOK_KEY"), f"{signed}mandrill_events{events}".encode(), hashlib.sha1
    ).digest()
    made.headers["X-Mandrill-Signature"] = base64.b64encode(digest).decode()


def sign_postal(made: Post, url: str, private_key: Path | None) -> None:
    signature = read(private_key).sign(made.body, padding.PKCS1v15(), hashes.SHA1())
    made.headers["X-Postal-Signature"] = base64.b64encode(signature).decode()


def sign_resend(made: Post, url: str, private_key: Path | None) -> None:
    """Svix: an id that is the event's own, the time, and an HMAC over both and the body."""
    identity = "msg_" + hashlib.sha256(made.body).hexdigest()[:27]
    signed_at = str(int(time.time()))
    key = base64.b64decode(str(settings.ANYMAIL["RESEND_SIGNING_SECRET"]).removeprefix("whsec_"))
    digest = hmac.new(key, f"{identity}.{signed_at}.".encode() + made.body, hashlib.sha256).digest()
    made.headers |= {
        "svix-id": identity,
        "svix-timestamp": signed_at,
        "svix-signature": "v1," + base64.b64encode(digest).decode(),
    }


def sign_sendgrid(made: Post, url: str, private_key: Path | None) -> None:
    signed_at = str(int(time.time()))
    signature = read(private_key).sign(signed_at.encode() + made.body, ec.ECDSA(hashes.SHA256()))
    made.headers["X-Twilio-Email-Event-Webhook-Timestamp"] = signed_at
    made.headers["X-Twilio-Email-Event-Webhook-Signature"] = base64.b64encode(signature).decode()


def sign_unisender_go(made: Post, url: str, private_key: Path | None) -> None:
    """MD5 of the body in which the key stands where the digest will (Unisender Go, "Callback format")."""
    placeholder = secrets.token_hex(16).encode()
    body = made.body.replace(b"0" * 32, placeholder, 1)
    digest = hashlib.md5(body.replace(placeholder, setting("UNISENDER_GO_API_KEY"))).hexdigest()  # noqa: S324
    made.body = body.replace(placeholder, digest.encode())


SIGN: dict[str, Callable[[Post, str, Path | None], None]] = {
    "mailersend": sign_mailersend,
    "mailgun": sign_mailgun,
    "mailtrap": sign_mailtrap,
    "mandrill": sign_mandrill,
    "postal": sign_postal,
    "resend": sign_resend,
    "sendgrid": sign_sendgrid,
    "unisender_go": sign_unisender_go,
}


def read(private_key: Path | None) -> Any:
    """The key in a PEM file. Raises CannotSign."""
    if hashes is None:
        raise CannotSign("Install the package cryptography: pip install --require-hashes -r requirements-postal.txt")
    if private_key is None:
        raise CannotSign(
            "This provider signs with a key that only it has. For a try, make a pair of your own, set its public half"
            " in the environment, and name its private half with --private-key FILE."
        )
    try:
        return serialization.load_pem_private_key(private_key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise CannotSign(f"{private_key} is not a private key in PEM form ({type(error).__name__}).") from error
