"""The report: any days, by kind, provider, domain and reason, counted once a day, as a page and as CSV."""

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from emails import statistics
from emails.models import DayCount, EmailEvent, EmailLog, EmailRecipient
from emails.redaction import redact
from emails.statistics import Figures, bucket, seconds
from tests.emails.test_log_admin import reader
from tests.esp import LoopbackESP
from tests.webhooks import configure, environment, event, report

pytestmark = pytest.mark.django_db
PAGE = "/admin/emails/emailreport/"


@pytest.fixture
def admin_client(admin_client: Client) -> Client:
    """Nothing but a test's own mail is in the log."""
    EmailLog.objects.all().delete()
    return admin_client


def email(
    days: int = 0, to: str = "ada@example.com", took: float | None = None, error: str = "", **columns: Any
) -> None:
    """One message of so many days ago; `took` seconds to be delivered, or with what the provider said of it."""
    written = timezone.now() - timedelta(days=days)
    columns = {"state": "sent", "provider": "postmark", "sent_at": written, **columns}
    one = EmailLog.objects.create(created_at=written, **columns)
    at = written + timedelta(seconds=took) if took is not None else None
    delivery = columns.get("delivery", "")
    recipient = EmailRecipient.objects.create(
        email=one, field="to", formatted=to, address=to, delivery=delivery, delivery_at=at
    )
    if error:
        EmailEvent.objects.create(
            email=one,
            recipient=recipient,
            type=delivery,
            reported=True,
            dedupe_key=str(uuid4()),
            detail={"error": error},
        )


def delivered(number: int, took: float = 4.0, **columns: Any) -> None:
    for _ in range(number):
        email(took=took, delivery="delivered", **columns)


def rows(client: Client, title: str, query: str = "") -> dict[str, dict[str, Any]]:
    tables = client.get(f"{PAGE}?{query}").context["tables"]
    return {row["name"]: row for name, found, _count in tables if str(name) == title for row in found}


def test_it_tells_by_kind_provider_and_domain_what_became_of_mail(admin_client: Client) -> None:
    delivered(18, kind="welcome")
    email(kind="welcome", delivery="bounced", error="550 5.1.1 no such user")
    email(kind="welcome", delivery="complained", to="b@other.example")
    email(kind="", provider="resend", days=3)
    email(kind="", provider="", state="failed", error="", sent_at=None)
    kinds = rows(admin_client, "By kind")
    assert list(kinds) == ["Welcome", "Other mail"]
    assert (kinds["Welcome"]["left"], kinds["Welcome"]["delivered"]) == (20, "90.0 %")
    assert (kinds["Welcome"]["bounced"], kinds["Welcome"]["complained"], kinds["Welcome"]["lost"]) == (
        "5.0 %",
        "5.0 %",
        2,
    )
    assert kinds["Welcome"]["median"] == "4 seconds"
    providers = rows(admin_client, "By provider")
    assert {name: row["left"] for name, row in providers.items()} == {"Postmark": 20, "Resend": 1, "Handed to none": 0}
    domains = rows(admin_client, "By the recipient’s domain")
    assert {name: row["all"] for name, row in domains.items()} == {"example.com": 21, "other.example": 1}
    whole = admin_client.get(PAGE).context["whole"]
    assert (whole["all"], whole["left"]) == (22, 21)


def test_reasons_are_alike_whoever_the_recipient_was(admin_client: Client) -> None:
    for name in ("ada", "bob", "eve"):
        email(delivery="bounced", error=f"550 5.1.1 <{name}@example.com>: no such user (id 1234567{len(name)})")
    email(state="failed", error="", sent_at=None)
    EmailLog.objects.filter(state="failed").update(error="The sender is not verified.")
    reasons = admin_client.get(PAGE).context["reasons"]
    assert reasons == [("550 5.1.1 … no such user (id …)", 3), ("The sender is not verified", 1)]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", 3),
        ("first={week}&last={today}", 2),
        ("first={old}&last={today}", 4),
        ("first={old}&last={old}", 1),
    ],
)
def test_any_days_can_be_asked_for(admin_client: Client, query: str, found: int) -> None:
    for days in (0, 5, 20, 60):
        email(days=days)
    today = timezone.localdate()
    named = {"today": today, "week": today - timedelta(days=7), "old": today - timedelta(days=60)}
    page = f"{PAGE}?{query.format(**named)}"
    while admin_client.get(page).context["uncounted"]:  # Two months may take a slow machine longer than the page waits.
        pass
    assert admin_client.get(page).context["whole"]["all"] == found


@pytest.mark.parametrize(
    "query",
    ["first=2026-13-45", "first=yesterday", "first=2026-11-20&last=2026-11-01", "first=0001-01-01", "last=9999-12-31"],
)
def test_days_that_are_none_are_said_to_be(admin_client: Client, query: str) -> None:
    response = admin_client.get(f"{PAGE}?{query}")
    assert response.status_code == 200
    assert 'role="alert"' in response.content.decode()


def test_a_day_is_counted_once_and_today_again(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    email(days=2)
    admin_client.get(PAGE)
    counted: list[date] = []
    count = statistics.count

    def counting(day: date) -> None:
        counted.append(day)
        count(day)

    monkeypatch.setattr(statistics, "count", counting)
    email(days=2)
    assert admin_client.get(PAGE).context["whole"]["all"] == 1
    assert counted == []
    DayCount.objects.update(counted_at=timezone.now() - timedelta(minutes=6))
    admin_client.get(PAGE)
    assert counted == [timezone.localdate()]
    DayCount.objects.update(counted_at=timezone.now() - timedelta(hours=13))
    statistics.count_daily.call()  # Reports come for a week: the worker counts the last days anew.
    assert admin_client.get(PAGE).context["whole"]["all"] == 2


def test_the_page_waits_for_no_long_count(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emails.admin.report.PATIENCE", 0.0)
    email()
    page = admin_client.get(PAGE)
    assert page.context["uncounted"] == 1
    assert "not counted yet" in page.content.decode()
    answer = admin_client.post(PAGE)  # A file with days missing would not say so.
    assert "Content-Disposition" not in answer.headers


def test_it_takes_few_queries_and_no_message_is_read_for_days_that_are_counted(admin_client: Client) -> None:
    delivered(5)
    admin_client.get(PAGE)
    with CaptureQueriesContext(connection) as captured:
        admin_client.get(PAGE)
    assert len(captured) <= 8
    reading = [query["sql"] for query in captured.captured_queries if "emails_emaillog" in query["sql"]]
    assert all(sql.endswith("LIMIT 1") for sql in reading)  # When the first one was written.


def test_only_the_most_frequent_domains_are_kept_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(statistics.MOST, DayCount.By.DOMAIN, 3)
    for n, name in enumerate(("a", "b", "c", "d", "e")):
        delivered(5 - n, to=f"x@{name}.example")
    today = timezone.localdate()
    statistics.count(today)
    found = statistics.of_days(today, today)["domain"]
    assert {value: one.total for value, one in found.items()} == {"a.example": 5, "b.example": 4, "c.example": 3, "": 3}
    assert found[""].took.total() == 3


def test_several_recipients_are_one_message_and_as_many_in_their_domains() -> None:
    email(delivery="bounced")
    one = EmailLog.objects.get()
    EmailRecipient.objects.create(
        email=one, field="cc", formatted="b@x.example", address="b@x.example", delivery="delivered"
    )
    statistics.count(timezone.localdate())
    found = statistics.of_days(timezone.localdate(), timezone.localdate())
    assert found["kind"][""].counts == {"bounced": 1}
    assert found["domain"]["example.com"].counts == {"bounced": 1}
    assert found["domain"]["x.example"].counts == {"delivered": 1}


def test_a_recipient_that_nothing_is_known_of_shares_nobodys_fate() -> None:
    email(delivery="bounced")
    one = EmailLog.objects.get()
    for name, left_out in (("silent", False), ("barred", True)):
        to = f"b@{name}.example"
        EmailRecipient.objects.create(email=one, field="cc", formatted=to, address=to, suppressed=left_out)
    statistics.count(timezone.localdate())
    found = statistics.of_days(timezone.localdate(), timezone.localdate())["domain"]
    assert {name: dict(figures.counts) for name, figures in found.items()} == {
        "example.com": {"bounced": 1},
        "silent.example": {"sent": 1},
        "barred.example": {"suppressed": 1},
    }


def test_a_day_that_was_looked_at_before_its_end_is_counted_after_it(admin_client: Client, time_machine: Any) -> None:
    noon = timezone.now().replace(hour=10, minute=0) - timedelta(days=1)
    admin = User.objects.get(username="admin")
    time_machine.move_to(noon)
    email()
    admin_client.force_login(admin)
    assert admin_client.get(PAGE).context["whole"]["all"] == 1
    time_machine.move_to(noon + timedelta(hours=10))
    email()
    time_machine.move_to(noon + timedelta(hours=17))
    admin_client.force_login(admin)
    assert admin_client.get(PAGE).context["whole"]["all"] == 2


def test_days_before_the_first_email_are_not_counted(admin_client: Client) -> None:
    email()
    admin_client.get(f"{PAGE}?first=2019-01-01&last={timezone.localdate()}")
    assert set(DayCount.objects.values_list("day", flat=True)) == {timezone.localdate()}


def test_a_late_report_has_its_day_counted_again(settings: Any, esp: LoopbackESP) -> None:
    configure(settings, **environment("postmark", esp.url))
    email(days=20, message_id="m-1")
    one = EmailLog.objects.get()
    one.recipients.update(message_id="m-1")
    day = timezone.localdate() - timedelta(days=20)
    statistics.count(day)
    report("postmark", event("postmark", one, "bounced", message_id="m-1"))
    assert statistics.uncounted(day, day) == [day]


def test_who_is_anonymised_is_in_no_domain_and_no_reason_any_more() -> None:
    email(to="ada@lovelace.example", delivery="bounced", error="550 ada.lovelace unknown")
    day = timezone.localdate()
    statistics.count(day)
    with transaction.atomic():
        redact(0, "•••", "ada@lovelace.example")
    stored = str(list(DayCount.objects.values()))
    assert "lovelace" not in stored
    statistics.count(day)
    assert "lovelace" not in str(list(DayCount.objects.values()))


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite's writers are alone with it anyway")
def test_two_that_count_a_day_at_once_leave_one_count() -> None:
    for n in range(40):
        email(to=f"x@{n % 8}.example", kind="welcome", delivery="delivered", took=3.0)
    day = timezone.localdate()

    def work() -> None:
        for _ in range(5):
            statistics.count(day)
        connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: work(), range(4)))
    found = statistics.of_days(day, day)
    assert found["kind"]["welcome"].counts == {"delivered": 40}
    assert sum(figures.total for figures in found["domain"].values()) == 40


def test_a_row_leads_to_the_very_messages_it_counts(admin_client: Client, settings: Any) -> None:
    """Days are the site's, whatever zone the reader is in; what no filter knows has no link."""
    settings.TIME_ZONE = "America/Los_Angeles"
    delivered(2, kind="welcome")
    email(kind="removed", provider="gone")
    kinds = rows(admin_client, "By kind")
    admin_client.cookies["tz"] = "Asia/Tokyo"
    found = admin_client.get(kinds["Welcome"]["href"]).context["cl"]
    assert found.result_count == 2
    assert kinds["removed"]["href"] == ""
    assert rows(admin_client, "By provider")["gone"]["href"] == ""


def test_each_row_tells_its_most_frequent_reason(admin_client: Client) -> None:
    for error in ("550 no such user", "550 no such user", "552 mailbox full"):
        email(kind="welcome", delivery="bounced", error=error)
    assert rows(admin_client, "By kind")["Welcome"]["why"] == ("550 no such user", 2)
    assert rows(admin_client, "By the recipient’s domain")["example.com"]["why"] == ("550 no such user", 2)


@pytest.mark.parametrize("path", ["1/change/", "1/history/", "add/", "1/delete/"])
def test_there_is_no_page_but_the_report(admin_client: Client, path: str) -> None:
    DayCount.objects.create(pk=1, day=timezone.localdate())
    assert admin_client.get(PAGE + path).status_code == 404


class TestTheFile:
    def test_it_holds_every_row_and_no_formula(self, admin_client: Client) -> None:
        delivered(3, to="x@-formula.example", kind="welcome")
        email(delivery="bounced", error='=HYPERLINK("http://evil.example")')
        response = admin_client.post(PAGE)
        assert response.headers["Content-Disposition"].startswith("attachment")
        found = list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))
        by_kind = next(row for row in found if (row["by"], row["value"]) == ("kind", "welcome"))
        assert (by_kind["left"], by_kind["delivered"], by_kind["median_s"]) == (
            "3",
            "3",
            str(round(seconds(bucket(4)), 1)),
        )
        assert {row["value"] for row in found if row["by"] == "domain"} == {"'-formula.example", "example.com"}
        assert all(not row["value"].startswith(("=", "-", "+", "@")) for row in found)
        assert (
            LogEntry.objects.get().get_change_message()
            == f"{timezone.localdate() - timedelta(days=29)} {timezone.localdate()}"
        )

    def test_it_needs_the_permission_to_export(self, client: Client) -> None:
        clerk = reader(client, "view_emaillog")
        assert "Save as CSV" not in clerk.get(PAGE).content.decode()
        assert clerk.post(PAGE).status_code == 403
        assert not LogEntry.objects.exists()


def test_who_may_not_see_the_log_does_not_see_the_report(client: Client) -> None:
    clerk = reader(client, "view_user")
    assert clerk.get(PAGE).status_code == 403
    assert "emailreport" not in clerk.get("/admin/").content.decode()
    assert clerk.post(PAGE).status_code == 403


class TestTimesToDelivery:
    @given(st.lists(st.floats(0, 10**6), min_size=1, max_size=60), st.sampled_from([0.5, 0.95]))
    def test_percentiles_are_right_within_an_eighth(self, took: list[float], share: float) -> None:
        figures = Figures()
        for one in took:
            figures.took[bucket(one)] += 1
        exact = sorted(took)[max(0, -(-int(share * 100 * len(took)) // 100) - 1)]
        found = figures.took_at_most(share)
        assert found is not None
        assert exact <= 1 or abs(found - exact) <= exact / 8 + 1e-6

    def test_nothing_delivered_has_no_time(self) -> None:
        assert Figures().took_at_most(0.5) is None
        assert Figures().percent("delivered") is None
