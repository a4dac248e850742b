"""On SQLite no question about the log walks through all of it: not of its pages, its worker or its webhooks.

Explained with the parameters that were bound, since SQLite does not find every index for a parameter that it finds for
the same value in the query's text. PostgreSQL's plans are looked at in test_searching.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from emails import delivery, overview, statistics, sweeper
from emails.models import Delivery, EmailLog, State
from emails.models.daycount import today
from emails.seeding import seed
from tests.esp import LoopbackESP
from tests.webhooks import configure, environment, event, report

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("asleep"),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite's plans"),
]
LIST = "/admin/emails/emaillog/"
LARGE = {"emails_emaillog", "emails_emailrecipient", "emails_emailevent"}
# They have nothing but what is wanted.
WHOLE_INDEXES = ("emails_log_attention", "emails_log_due", "emails_log_sealed")


@contextmanager
def nothing_walked_through() -> Iterator[None]:
    asked: list[tuple[str, Any]] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        asked.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield
    assert asked
    walks = [walk for sql, params in asked for walk in walks_of(sql, params)]
    assert not walks, "\n".join(walks)


def walks_of(sql: str, params: Any) -> Iterator[str]:
    """The steps of a statement's plan that read all of a large table, or of an index of one."""
    if " WHERE " not in sql or sql.startswith(("EXPLAIN", "CREATE", "DROP")):
        return  # A page of the whole log is the whole log's.
    aliases = dict(re.findall(r'"(\w+)" (?:AS )?"?([UVWT]\d+)"?', sql))
    names = LARGE | {alias for table, alias in aliases.items() if table in LARGE}
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
        for *_, step in cursor.fetchall():
            found = re.match(r"SCAN (\w+)", step)
            if found and found.group(1) in names and not step.endswith(WHOLE_INDEXES):
                yield f"{step}: {sql}"


@pytest.fixture(autouse=True)
def some() -> None:
    seed(300)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"p": "3"},
        *({"status": status} for status in ("attention", "waiting", *State.values, *filter(None, Delivery.values))),
        {"kind": "welcome"},
        {"q": "person1@mail.example.org"},
        {"q": "to:person1@mail.example.org after:9d"},
        {"q": "<sample-1-7@example.com>"},
        {"q": "id:sample-1-7@example.com"},
        {"q": "status:bounced before:2d"},
        {"user__id__exact": "1"},
    ],
)
def test_no_page_of_the_list(admin_client: Client, query: dict[str, str]) -> None:
    with nothing_walked_through():
        assert admin_client.get(LIST, query).status_code == 200


def test_no_message_front_page_health_page_or_report(admin_client: Client) -> None:
    pk = EmailLog.objects.filter(state="sent").values_list("pk", flat=True)[7]
    statistics.ensure(today() - timedelta(days=6), today(), 30)
    for path in (f"{LIST}{pk}/change/", "/admin/", "/admin/emails/health/", "/admin/emails/emailreport/"):
        with nothing_walked_through():
            assert admin_client.get(path).status_code == 200
    with nothing_walked_through():
        overview.look()


def test_no_turn_of_a_worker(esp: LoopbackESP) -> None:
    EmailLog.objects.filter(pk__in=list(EmailLog.objects.values_list("pk", flat=True)[:5])).update(sealed="x")
    with nothing_walked_through():
        assert not EmailLog.objects.unsettled().exists()
        assert EmailLog.objects.waiting_seconds() == 0
        sweeper.turn()
        delivery.drain(seconds=1)


def test_no_purge() -> None:
    with nothing_walked_through():
        call_command("purge_emails")


@pytest.mark.parametrize("by", ["ref", "message id"])
def test_no_report(settings: Any, by: str) -> None:
    configure(settings, **environment("postmark"))
    email = EmailLog.objects.filter(state="sent", delivery="").first()
    assert email is not None
    EmailLog.objects.filter(pk=email.pk).update(provider="postmark", sent_at=timezone.now())
    facts = {"ref": ""} if by == "message id" else {}
    with nothing_walked_through():
        answer = report("postmark", event("postmark", email, "delivered", to=email.recipients.get().address, **facts))
    assert answer.status_code == 200
    email.refresh_from_db()
    assert email.delivery == "delivered"
