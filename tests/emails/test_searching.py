"""The log's search box and its tabs: words and keys, understood or answered kindly, and quick where there is much."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.core.mail import EmailMultiAlternatives
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from emails import overview
from emails.admin import paging, searching
from emails.admin.searching import parse
from emails.models import EmailLog, Lane, State
from tests.emails.test_log_admin import reader
from tests.log import force

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("asleep")]
READ_AT_MOST = 12_000  # Of 30,000 rows: what is counted to 10,001, and a little.
LIST = "/admin/emails/emaillog/"


def email(subject: str, to: str, **values: Any) -> EmailLog:
    message = EmailMultiAlternatives(subject, "The text", to=[to])
    message.send()
    row: EmailLog = message.email_log  # type: ignore[attr-defined]
    if values:
        EmailLog.objects.filter(pk=row.pk).update(**{name: value for name, value in values.items() if name != "state"})
        if "state" in values:
            force(row, state=values["state"])
    return row


@pytest.fixture
def log() -> dict[str, EmailLog]:
    ago = timezone.now() - timedelta(days=10)
    return {
        "ada": email("Your invoice 17", "Ada <ada@example.com>", kind="welcome", message_id="<pm-1@x.example>"),
        "bounced": email("Your invoice 18", "ben@example.com", delivery="bounced", state=State.SENT),
        "old": email("An older letter", "ada@example.com", created_at=ago, user_label="Zofia Wójcik (zofia)"),
        "failed": email("Nothing", "adam@example.org", state=State.FAILED, kind="deactivated"),
    }


def names(log: dict[str, EmailLog], query: str) -> set[str]:
    found = set(parse(query).apply(EmailLog.objects.all()).values_list("pk", flat=True))
    return {name for name, row in log.items() if row.pk in found}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("invoice", {"ada", "bounced"}),
        ("invoice 17", {"ada"}),
        ('"invoice 1"', {"ada", "bounced"}),
        ("INVOICE -18", {"ada"}),
        ("zofia", {"old"}),
        ("ada", {"ada", "old", "failed"}),
        ("ada@example.com", {"ada", "old"}),
        ("to:ADA@example.com", {"ada", "old"}),
        ("to:ada@", {"ada", "old"}),
        ("to: ada@example.com", {"ada", "old"}),
        ("<ada@example.com>", {"ada", "old"}),
        ("status:waiting", {"ada", "old"}),
        ('status:"needs attention"', {"bounced", "failed"}),
        ("-to:ada", {"bounced"}),
        ("subject:invoice to:ben", {"bounced"}),
        ('subject:"older letter"', {"old"}),
        ("status:bounced", {"bounced"}),
        ("status:Failed", {"failed"}),
        ("status:attention", {"bounced", "failed"}),
        ("-status:attention", {"ada", "old"}),
        ("kind:welcome", {"ada"}),
        ("kind:Deactivated", {"failed"}),
        ("kind:other", {"bounced", "old"}),
        ("id:pm-1@x.example", {"ada"}),
        ("<pm-1@x.example>", {"ada"}),
        ("pm-1@x.example", {"ada"}),
        ("after:2d", {"ada", "bounced", "failed"}),
        ("before:yesterday", {"old"}),
        ("after:20d before:2d ada", {"old"}),
        ("", {"ada", "bounced", "old", "failed"}),
        ("-", {"ada", "bounced", "old", "failed"}),
        ("invoice invoice nothing", set()),
    ],
)
def test_it_finds(log: dict[str, EmailLog], query: str, found: set[str]) -> None:
    assert names(log, query) == found
    assert parse(query).problems == []


@pytest.mark.parametrize("named", [1, 2])
def test_somebody_with_more_mail_than_is_named_one_by_one_is_found_all_the_same(
    log: dict[str, EmailLog], monkeypatch: Any, named: int
) -> None:
    monkeypatch.setattr(searching, "NAMED", named)  # She has two.
    assert names(log, "ada@example.com") == names(log, "to:ada@example.com") == {"ada", "old"}
    assert names(log, "-to:ada@example.com") == {"bounced", "failed"}
    assert names(log, "to:ada@example.com before:2d") == {"old"}
    assert names(log, "to:nobody@example.com") == set()
    assert names(log, "-to:nobody@example.com") == set(log)


def test_a_number_or_reference_is_an_id(log: dict[str, EmailLog]) -> None:
    pk, ref = log["old"].pk, log["old"].ref
    for query in (f"id:{pk}", f"id:#{pk}", f"#{pk}", f"id:{ref}", str(ref)):
        assert names(log, query) == {"old"}


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("from:ada", "There is no key “from:”. Keys are to:, subject:,"),
        ("status:lost", "There is no status “lost”. It is one of attention, waiting, queued,"),
        ("kind:nothing", "There is no kind “nothing”. It is one of"),
        ("after:tomorrow-ish", "“tomorrow-ish” is no day: write 2026-11-30"),
        ("before:2026-02-31", "is no day"),
        ("after:99999d", "is no day"),
    ],
)
def test_what_is_not_understood_is_said(admin_client: Client, log: dict[str, EmailLog], query: str, says: str) -> None:
    page = admin_client.get(LIST, {"q": query})
    assert page.status_code == 200
    assert any(says in str(message) for message in page.context["messages"])
    assert parse("https://x.example/").problems == []


def test_keys_are_told_in_the_languages_of_the_reader(admin_client: Client, log: dict[str, EmailLog]) -> None:
    page = admin_client.get(LIST, {"q": "status:unzustellbar"}, headers={"accept-language": "de"})
    assert list(page.context["cl"].queryset) == [log["bounced"]]


def test_words_are_looked_for_among_the_newest_alone_unless_a_day_is_given(
    log: dict[str, EmailLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "WORDY", 2)
    assert names(log, "invoice") == set()
    assert names(log, "after:30d invoice") == {"ada", "bounced"}
    assert names(log, "before:2d older") == {"old"}  # The newest of those before that day.
    assert names(log, "ada@example.com") == {"ada", "old"}


def test_tabs_lead_to_what_one_comes_for(admin_client: Client, log: dict[str, EmailLog], monkeypatch: Any) -> None:
    page = admin_client.get(LIST)
    counts = {value: count for value, _label, count in page.context["tabs"]}
    assert counts == {"": None, "attention": 2, "waiting": EmailLog.objects.unsettled().count()}
    shown = admin_client.get(LIST, {"status": "attention"}).context["cl"].queryset
    assert set(shown) == {log["bounced"], log["failed"]}
    monkeypatch.setattr("emails.admin.log.MOST", 1)
    assert "1+" in admin_client.get(LIST).content.decode()


def test_a_person_whom_the_list_is_about_is_named(admin_client: Client, admin_user: User) -> None:
    email("s", "a@example.com", user=admin_user, user_label="Zofia Wójcik (zofia)")
    about = f"{LIST}?user__exact={admin_user.pk}"
    page = admin_client.get(about).content.decode()
    assert "Only emails about Zofia Wójcik (zofia)." in page
    assert "aria-current" not in page.partition('class="tabs"')[2].partition("</nav>")[0]
    assert "Only emails about one person." in admin_client.get(f"{about}&q=x").content.decode()
    assert "Only emails about" not in admin_client.get(LIST).content.decode()


def test_more_than_are_counted_are_told_as_such(admin_client: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr(paging, "MOST", 2)
    for number in range(3):
        email(f"s {number}", "a@example.com")
    page = admin_client.get(LIST)
    assert page.context["cl"].result_count == 3
    words = " ".join(re.sub(r"<[^>]*>", " ", page.content.decode()).split())
    assert "2+ emails" in words
    assert not re.search(r"\b3 (emails|results|selected)", words)


def test_who_may_not_see_the_health_page_is_not_sent_there(client: Client, admin_client: Client) -> None:
    email("s", "a@example.com")
    link = "/admin/emails/health/"
    reader(client, "view_emaillog")
    for path in (LIST, "/admin/"):
        assert link not in client.get(path).content.decode()
        assert link in admin_client.get(path).content.decode()


def test_an_empty_log_a_stuck_queue_and_a_silent_provider_say_what_to_do(admin_client: Client, settings: Any) -> None:
    settings.EMAILS = {**settings.EMAILS, "PROVIDER": "postmark"}
    EmailLog.objects.all().delete()
    assert "No email yet." in admin_client.get(LIST).content.decode()
    assert "No email fits." in admin_client.get(LIST, {"q": "nothing"}).content.decode()
    row = email("s", "a@example.com")
    page = admin_client.get(LIST).content.decode()
    assert "No provider has reported anything yet" in page
    assert "The queue does not move" not in page
    EmailLog.objects.filter(pk=row.pk).update(run_at=timezone.now() - timedelta(minutes=5))
    Lane.objects.create(key="postmark", last_webhook_at=timezone.now())
    page = admin_client.get(LIST).content.decode()
    assert "No provider has reported anything yet" not in page
    assert "The queue does not move" in page


def test_a_provider_that_never_reports_is_not_waited_for(admin_client: Client, settings: Any) -> None:
    settings.EMAILS = {**settings.EMAILS, "PROVIDER": "console"}
    email("s", "a@example.com")
    assert "reported anything yet" not in admin_client.get(LIST).content.decode()


@pytest.fixture
def much() -> None:
    """Enough rows that PostgreSQL would rather use an index than read the table."""
    if connection.vendor != "postgresql":
        pytest.skip("PostgreSQL's plans")
    email("s", "seed@example.com")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO emails_emaillog (ref, created_at, kind, user_label, actor_label, cause, changes, language, "
            "from_email, subject, text, html, payload, state, delivery, attempts, run_at, provider, message_id, "
            "error_class, error, doubtful, uncertain, rescues, secret, sealed, has_sealed, template) "
            "SELECT gen_random_uuid(), now() - n * interval '1 minute', 'welcome', '', 'system', '', '{}', 'en', 'x', "
            "'Subject ' || n, '', '', '', 'sent', CASE WHEN n % 500 = 0 THEN 'bounced' ELSE 'delivered' END, 1, now(), "
            "'postmark', 'pm-' || n, '', '', false, false, 0, '', '', false, '' FROM generate_series(1, 30000) AS n"
        )
        cursor.execute(
            "INSERT INTO emails_emailrecipient (email_id, field, formatted, address, message_id, delivery, suppressed, "
            "open_count, click_count) "
            "SELECT id, 'to', 'x', 'p' || id || '@example.com', message_id, delivery, false, 0, 0 FROM emails_emaillog"
        )
        cursor.execute("ANALYZE emails_emaillog, emails_emailrecipient")


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"status": "attention"},
        {"status": "bounced"},
        {"status": "failed"},
        {"status": "queued"},
        {"status": "delivered"},
        {"kind": "welcome"},
        {"q": "p77@example.com"},
        {"q": "<pm-4711>"},
        {"q": "id:pm-4711"},
        {"q": "status:bounced after:2d"},
        {"p": "100"},
    ],
)
def test_no_page_of_the_list_reads_the_whole_table(admin_client: Client, much: None, query: dict[str, str]) -> None:
    assert reads_little(admin_client, LIST, query)


def test_neither_the_front_page_nor_a_message_does(admin_client: Client, much: None) -> None:
    pk = EmailLog.objects.order_by("pk").values_list("pk", flat=True)[15_000]
    for path in ("/admin/", f"{LIST}{pk}/change/"):
        admin_client.get(path)  # The days before today are counted once, and who has read a message is noted once.
        reads_little(admin_client, path)
    cache.delete(overview.KEY)
    reads_little(admin_client, "/admin/", queries=9)  # Once a minute, where mail waits.


def reads_little(client: Client, path: str, query: dict[str, str] | None = None, queries: int = 8) -> list[str]:
    """Ask for a page, and explain what it asked of the log's tables."""
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path, query).status_code == 200
    selects = [made["sql"] for made in captured if made["sql"].startswith("SELECT") and "emails_email" in made["sql"]]
    assert len(captured) <= queries, [made["sql"] for made in captured]
    with connection.cursor() as cursor:
        for sql in selects:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
            ((plan,),) = cursor.fetchall()
            for node in nodes(plan[0]["Plan"]):
                rows = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
                assert rows <= READ_AT_MOST, (sql, node)
    return selects


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)
