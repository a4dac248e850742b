"""Reports a second, one a request and a thousand in one, through the view; and the queries that each costs."""

import statistics
import sys
import time
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.core.mail import EmailMessage  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from emails.models import EmailLog  # noqa: E402
from emails.recording import record  # noqa: E402
from tests.webhooks import configure, environment, report  # noqa: E402

QUICK = "--quick" in sys.argv
SINGLE, BATCH, ROUNDS = (20, 100, 1) if QUICK else (300, 1000, 3)


def messages(number: int) -> list[EmailLog]:
    emails: list[EmailLog] = []
    for start in range(0, number, 500):
        some = range(start, min(start + 500, number))
        emails += record([EmailMessage("s", "b", None, [f"p{n}@example.com"]) for n in some])
    EmailLog.objects.filter(pk__in=[email.pk for email in emails]).update(attempts=1, provider="sendgrid")
    return emails


def told(emails: list[EmailLog], kind: str) -> list[dict[str, Any]]:
    return [
        {"event": kind, "email": f"p{n % BATCH}@example.com", "timestamp": 1_764_000_000 + n}
        | {"sg_event_id": f"{email.pk}-{kind}", "anymail_id": f"m-{email.pk}", "ref": str(email.ref)}
        for n, email in enumerate(emails)
    ]


def seconds(events: list[dict[str, Any]], *, at_once: bool) -> float:
    client = Client()
    start = time.perf_counter()
    if at_once:
        assert report("sendgrid", *events, client=client).status_code == 200
    else:
        for event in events:
            assert report("sendgrid", event, client=client).status_code == 200
    return time.perf_counter() - start


def queries(events: list[dict[str, Any]]) -> int:
    with CaptureQueriesContext(connection) as captured:
        report("sendgrid", *events)
    return len(captured)


def main() -> None:
    call_command("migrate", verbosity=0)
    configure(settings, **{**environment("sendgrid"), "SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": ""})
    seconds(told(messages(10), "delivered"), at_once=False)  # Warm.
    singly = [SINGLE / seconds(told(messages(SINGLE), "delivered"), at_once=False) for _ in range(ROUNDS)]
    together = [BATCH / seconds(told(messages(BATCH), "delivered"), at_once=True) for _ in range(ROUNDS)]
    emails = messages(BATCH)
    again = BATCH / seconds(told(emails, "delivered"), at_once=True)
    one, many = queries(told(emails[:1], "open")), queries(told(emails, "click"))
    replayed = BATCH / seconds(told(emails, "delivered"), at_once=True)
    print(f"\nIngest, {connection.vendor}: reports a second through the view")
    print(f"  one a request        {statistics.median(singly):8.0f}   {one} queries each")
    print(f"  {BATCH} in a request   {statistics.median(together):8.0f}   {many} queries, {many / BATCH:.3f} each")
    print(f"  replayed             {replayed:8.0f}   ({again:.0f} the first time)")


main()
