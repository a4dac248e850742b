from pathlib import Path
from typing import Any
from uuid import uuid4

import requests
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from emails.checks import how_to_authenticate, webhook_url
from emails.models import EmailLog
from emails.providers import PROVIDERS, active, in_use
from emails.samples import SAMPLES, TYPES, Happening
from emails.signing import CannotSign, post


class Command(BaseCommand):
    help = "Posts a sample report about a message to the running site, signed as its provider signs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", type=int, help="The message's number in the log")
        parser.add_argument("--event", choices=TYPES, default="delivered", help="What is reported (%(default)s)")
        parser.add_argument("--to", help="The recipient it is about (the message's first)")
        parser.add_argument("--url", help="Another address than SITE_URL's, such as http://127.0.0.1:8000")
        parser.add_argument("--private-key", type=Path, help="A PEM file, for providers that sign with their own key")

    def handle(self, *args: Any, email: int, event: str, to: str | None, url: str | None, **options: Any) -> None:
        row = EmailLog.objects.without_bodies().filter(pk=email).first()
        if row is None:
            raise CommandError(f"There is no message {email} in the log.")
        provider = PROVIDERS.get(row.provider) or active()
        if provider.webhook is None or event not in {*provider.webhook.events, "deferred"}:
            raise CommandError(f"{provider.label} reports no {event}: choose another --event, or another provider.")
        if provider not in in_use():
            raise CommandError(
                f"{provider.label} is not in use, so nobody hears it. Set EMAIL_FALLBACK_PROVIDER={provider.key} for as"
                " long as its reports are of interest."
            )
        if not provider.receives:
            raise CommandError(f"{provider.label}'s webhook is closed. {how_to_authenticate(provider)}")
        recipient = row.recipients.first()
        happening = Happening(
            type=event,
            ref=str(row.ref),
            message_id=row.message_id or "unknown",
            to=to or settings.EMAILS["REDIRECT_TO"] or (recipient.address if recipient else "nobody@example.com"),
            at=timezone.now(),
            event_id=str(uuid4()),
        )
        target = webhook_url(provider)
        if url:
            target = f"{url.rstrip('/')}/anymail/{provider.key}/tracking/"
        try:
            made = post(provider, [SAMPLES[provider.key](happening)], target, options["private_key"])
        except CannotSign as error:
            raise CommandError(str(error)) from error
        try:
            answer = requests.post(target, data=made.body, headers=made.headers, timeout=10, allow_redirects=False)
        except requests.RequestException as error:
            raise CommandError(f"Nobody answers at {target} ({type(error).__name__}): start the site.") from error
        if not answer.ok or answer.is_redirect:
            raise CommandError(f"{target} answered {answer.status_code}: look at the site's log for webhook.refused.")
        row.refresh_from_db(fields=["state", "delivery"])
        self.stdout.write(f"{provider.label} reported {event}: the message is {row.status} now.")
