"""What is wrong with how email is set up, told before anything is sent. Never a value, always what to do.

`manage.py check` and every command that works with email refuse to run with an error; `check --deploy` adds what only
matters where real people get mail.
"""

from collections.abc import Iterator
from difflib import get_close_matches
from email.utils import parseaddr
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning
from django.db import DatabaseError
from django.http.request import validate_host
from django.template.loader import get_template

from emails.kinds import KINDS
from emails.models import EmailLog
from emails.profile import Provider
from emails.providers import PROVIDERS, in_use
from emails.rendering import INLINER

TAG = "emails"
LARGEST = 100_000  # Bytes of HTML; Gmail clips at 102 KB.
STUCK = 10 * 60  # Seconds.
GENERATED = """the output of: python3 -c 'import secrets; print("webhook:" + secrets.token_urlsafe(24))'"""
NOT_REAL = ("localhost", "example", "invalid", "test")  # RFC 2606
EXAMPLES = (".example.com", ".example.net", ".example.org")


def webhook_url(provider: Provider) -> str:
    """The address to paste at the provider, without user and password."""
    return f"{settings.SITE_URL}/anymail/{provider.key}/tracking/"


def pasted_url(provider: Provider) -> str:
    """The same as it is pasted: with a place for user and password, where they are what authenticates."""
    scheme, _, rest = webhook_url(provider).partition("://")
    by_password = provider.webhook is not None and provider.webhook.basic and not provider.is_signed
    return f"{scheme}://USER:PASSWORD@{rest}" if by_password else f"{scheme}://{rest}"


@register(TAG)
def providers_are_set_up(**kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for variable, key in named().items():
        if key not in PROVIDERS:
            others = [other for other in PROVIDERS if other not in {"console", *named().values()}]
            near = get_close_matches(key, PROVIDERS, n=1)
            guess = f"Did you mean {variable}={near[0]}? " if near else ""
            hint = f"{guess}It is one of {', '.join(others)}, and nothing behind it; for example {variable}={others[0]}"
            found.append(Error(f"{variable} names no provider that we know.", hint=hint, id="emails.E001"))
        elif key == "console" and not settings.DEBUG:
            hint = f"It prints mail instead of sending it. Set a real provider, for example {variable}=smtp"
            found.append(Error(f"{variable}=console is for development.", hint=hint, id="emails.E004"))
    if settings.EMAILS["FALLBACK"] == settings.EMAILS["PROVIDER"]:
        hint = "Name another one, or leave it empty, for example EMAIL_FALLBACK_PROVIDER=smtp"
        found.append(Error("EMAIL_FALLBACK_PROVIDER is EMAIL_PROVIDER once more.", hint=hint, id="emails.E009"))
    for provider in in_use():
        found += [*credentials(provider), *addresses(provider), *packages(provider), *webhooks(provider)]
    return found


def named() -> dict[str, str]:
    keys = {"EMAIL_PROVIDER": settings.EMAILS["PROVIDER"], "EMAIL_FALLBACK_PROVIDER": settings.EMAILS["FALLBACK"]}
    return {variable: key for variable, key in keys.items() if key}


def credentials(provider: Provider) -> Iterator[CheckMessage]:
    for variable in provider.missing:
        yield Error(
            f"Set {variable.name}: {provider.label} can't send without it.",
            hint=f"{found_at(provider, variable.where)}. For example {variable.name}={variable.example or '…'}",
            id="emails.E002",
        )


def found_at(provider: Provider, where: str) -> str:
    return f"At {provider.label}: {where}" if provider.prefix else f"It is {where}"


def addresses(provider: Provider) -> Iterator[CheckMessage]:
    urls = {name: url for name, url in settings.ANYMAIL.items() if name.endswith("_URL")} if provider.prefix else {}
    for name, url in urls.items():
        if name.startswith(provider.prefix) and urlsplit(str(url)).scheme not in {"http", "https"}:
            hint = f"It begins with https://, for example {name}=https://api.example.com"
            yield Error(f"{name} is not an absolute URL.", hint=hint, id="emails.E010")


def packages(provider: Provider) -> Iterator[CheckMessage]:
    """Amazon SES needs its package to send; others need theirs only to verify signatures."""
    needed = provider.extra_for == "sending" or (provider.extra_for == "webhooks" and provider.is_signed)
    absent = [module for module in provider.modules if needed and find_spec(module) is None]
    if absent:
        yield Error(
            f"{provider.label} needs the package {', '.join(absent)}, which is not installed.",
            hint=f"pip install --require-hashes -r requirements-{provider.extra}.txt",
            id="emails.E003",
        )


def webhooks(provider: Provider) -> Iterator[CheckMessage]:
    if provider.webhook is None:
        return
    secret = settings.ANYMAIL.get("WEBHOOK_SECRET", "")
    user, colon, password = str(secret).partition(":")
    if secret and not (user and colon and password):
        hint = f"Set ANYMAIL_WEBHOOK_SECRET to {GENERATED}, and paste {pasted_url(provider)}"
        yield Error("ANYMAIL_WEBHOOK_SECRET is not user:password.", hint=hint, id="emails.E006")
    elif not provider.receives:
        level, number = (CheckWarning, "W005") if settings.DEBUG else (Error, "E005")
        yield level(
            f"{provider.label}'s webhook has no secret, so it is closed: nobody hears what becomes of mail.",
            hint=how_to_authenticate(provider),
            id=f"emails.{number}",
        )


def how_to_authenticate(provider: Provider) -> str:
    """What to set, and what to paste where."""
    if provider.webhook is None:
        return ""
    if provider.webhook.basic:
        set_this, paste = f"Set ANYMAIL_WEBHOOK_SECRET to {GENERATED},", pasted_url(provider)
    else:
        name = provider.webhook.signed_by[0]
        where = next(variable.where for variable in provider.variables if variable.name == name)
        set_this, paste = f"Set {name} ({where})", webhook_url(provider)
    return f"{set_this} and paste {paste} at {provider.label}: {provider.webhook.where}"


@register(TAG)
def redirect_is_meant(**kwargs: Any) -> list[CheckMessage]:
    if not settings.EMAILS["REDIRECT_TO"] or settings.DEBUG or settings.EMAILS["REDIRECT_CONFIRMED"]:
        return []
    hint = "On a staging site set EMAIL_REDIRECT_CONFIRMED=true; in production leave EMAIL_REDIRECT_TO empty"
    message = "EMAIL_REDIRECT_TO would send everybody's mail to one address."
    return [Error(message, hint=hint, id="emails.E008")]


@register(TAG)
def kinds_have_templates(**kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for kind in KINDS.values():
        for ending in ("txt", "html"):
            name = f"{kind.templates}/{kind.key}.{ending}"
            try:
                size = size_of(name)
            except Exception as error:  # Whatever a template raises that can't be read or told of nobody.
                hint = f"Every kind of email has two templates: write templates/{name} ({type(error).__name__})"
                found.append(
                    Error(f"The email {kind.key!r} has no template {name} that works.", hint=hint, id="emails.E007")
                )
                continue
            if size > LARGEST:
                hint = f"Make {name} smaller: mail programs cut off what is longer than {LARGEST // 1000} KB"
                found.append(
                    CheckWarning(f"The email {kind.key!r} has {size // 1000} KB.", hint=hint, id="emails.W004")
                )
    return found


def size_of(template: str) -> int:
    """Bytes of an email that tells of nobody. Raises what a template raises that is not there or can't be read."""
    rendered = get_template(template).render({})
    return len((INLINER.inline(rendered) if template.endswith(".html") else rendered).encode())


@register(TAG, deploy=True)
def mail_comes_from_somewhere(**kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for variable, sender in (
        ("DEFAULT_FROM_EMAIL", settings.DEFAULT_FROM_EMAIL),
        ("SERVER_EMAIL", settings.SERVER_EMAIL),
    ):
        domain = parseaddr(str(sender))[1].rpartition("@")[2].lower()
        if "." not in domain or domain.rpartition(".")[2] in NOT_REAL or f".{domain}".endswith(EXAMPLES):
            hint = f"Set {variable} to an address of a domain that your provider has verified"
            found.append(CheckWarning(f"{variable} is at {domain}, where nobody is.", hint=hint, id="emails.W001"))
    return found


@register(TAG, deploy=True)
def links_lead_somewhere(**kwargs: Any) -> list[CheckMessage]:
    parts = urlsplit(settings.SITE_URL)
    found: list[CheckMessage] = []
    if parts.scheme != "https":
        hint = "Links in mail and webhooks go there: set SITE_URL=https://backoffice.example.com"
        found.append(CheckWarning("SITE_URL is not https.", hint=hint, id="emails.W002"))
    if not validate_host(parts.hostname or "", settings.ALLOWED_HOSTS):
        hint = "Add SITE_URL's host name to ALLOWED_HOSTS, for example ALLOWED_HOSTS=backoffice.example.com"
        found.append(CheckWarning("SITE_URL leads to a host that is not allowed.", hint=hint, id="emails.W003"))
    return found


@register(TAG, deploy=True)
def queue_moves(**kwargs: Any) -> list[CheckMessage]:
    try:
        waiting = EmailLog.objects.waiting_seconds()
    except DatabaseError:  # It is not migrated yet, or away: other checks tell of that.
        return []
    if waiting < STUCK:
        return []
    hint = "Start manage.py worker, and look at Emails → Email health in the admin"
    return [CheckWarning(f"Email has been waiting for {waiting // 60} minutes.", hint=hint, id="emails.W006")]
