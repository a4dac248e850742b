"""The front page tells how all mail is doing, to who may see it, cheaply; the banner tells everywhere what is wrong."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from emails import overview, sweeper
from emails.admin import front
from emails.models import DayCount, EmailLog, Pause
from tests.emails.test_log_admin import reader

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("asleep")]


@pytest.fixture(autouse=True)
def _no_cache() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def emails(number: int, days: float = 0, **values: Any) -> None:
    written = timezone.now() - timedelta(days=days, minutes=1)
    rows = [EmailLog(created_at=written, run_at=written, subject="x", **values) for _ in range(number)]
    EmailLog.objects.bulk_create(rows)


def test_the_figures_are_those_of_the_past_day() -> None:
    emails(90, state="sent", delivery="delivered")
    emails(10, state="sent", delivery="bounced")
    emails(3, state="failed")
    emails(2, state="queued")
    emails(50, days=2, state="failed")
    found = overview.overview()
    assert (found.sent, found.delivered, found.lost, found.waiting) == (100, 90, 13, 2)
    assert found.oldest >= 59
    assert not found.bouncing


def test_the_longest_wait_is_told_where_something_waits(admin_client: Client) -> None:
    words = "is the longest wait"
    emails(1, state="sent")
    assert words not in admin_client.get("/admin/").content.decode()
    cache.clear()
    emails(1, state="queued")
    assert words in admin_client.get("/admin/").content.decode()


@pytest.mark.parametrize(("bounced", "is_so"), [(10, False), (11, True)])
def test_bounces_are_too_many_above_one_in_twenty(bounced: int, is_so: bool) -> None:
    emails(bounced, state="sent", delivery="bounced")
    emails(overview.AT_LEAST - bounced, state="sent", delivery="delivered")
    assert overview.overview().bouncing is is_so
    EmailLog.objects.all().delete()
    emails(5, state="sent", delivery="bounced")
    assert not overview.look().bouncing  # Of five, nothing follows.


def test_the_month_is_counted_once_and_its_end_again(time_machine: Any) -> None:
    emails(4, days=3, state="sent", delivery="delivered")
    emails(2, days=20, state="sent")
    emails(1, state="sent", delivery="bounced")
    days = overview.look().days
    assert len(days) == 30
    assert [(day.delivered, day.other, day.lost) for day in days if day.total] == [(0, 2, 0), (4, 0, 0), (0, 0, 1)]
    with CaptureQueriesContext(connection) as captured:
        assert overview.look().days == days
    assert len(captured) <= 5
    EmailLog.objects.filter(delivery="delivered").update(delivery="complained")  # A late report.
    EmailLog.objects.filter(delivery="").update(delivery="bounced")
    overview.roll_up_lately()
    found = [(day.delivered, day.other, day.lost) for day in overview.look().days if day.total]
    assert found == [(0, 2, 0), (0, 0, 4), (0, 0, 1)]
    assert [row.counts for row in DayCount.objects.filter(by="", counts__has_key="complained")] == [{"complained": 4}]


def test_the_sweeper_counts_daily(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "_tidied_at", float("-inf"))
    emails(4, days=3, state="sent", delivery="delivered")
    sweeper.tidy()
    assert [row.counts for row in DayCount.objects.filter(by="", counts__has_key="delivered")] == [{"delivered": 4}]


def test_the_card_is_a_picture_with_a_table_behind_it(admin_client: Client) -> None:
    emails(3, days=1, state="sent", delivery="delivered")
    emails(1, days=1, state="failed")
    page = admin_client.get("/admin/").content.decode()
    assert "Email at a glance" in page
    # A bar of two parts, and today's welcome of the admin.
    assert page.count("<rect") == 3
    assert "3 delivered, 0 without a report, 1 failed or bounced" in page
    assert "<td>3</td><td>0</td><td>1</td>" in page
    assert "No worker is alive." in page
    assert "style=" not in page.partition('class="overview"')[2].partition("</section>")[0]


def test_the_card_is_cheap_and_cached(admin_client: Client) -> None:
    admin_client.get("/admin/")
    with CaptureQueriesContext(connection) as captured:
        admin_client.get("/admin/")
    assert len(captured) <= 8
    assert not any("emails_emaillog" in query["sql"] for query in captured.captured_queries)


def test_who_may_not_see_the_log_sees_no_figures(client: Client) -> None:
    emails(3, state="sent", delivery="delivered")
    Pause.begin(User.objects.create_superuser("ada", "ada@example.com"), "A test.")
    page = reader(client, "view_user").get("/admin/").content.decode()
    assert "Email at a glance" not in page
    assert "All sending is paused." not in page


@pytest.mark.parametrize("path", ["/admin/", "/admin/accounts/user/", "/admin/emails/emailkindswitch/"])
def test_the_banner_is_everywhere_in_the_admin(admin_client: Client, path: str) -> None:
    assert 'class="banner"' not in admin_client.get(path).content.decode()
    cache.clear()
    emails(1, days=1, state="queued")
    assert "The queue does not move" in admin_client.get(path).content.decode()
    cache.clear()
    Pause.begin(User.objects.get(username="admin"), "A test.")
    page = admin_client.get(path).content.decode()
    assert "All sending is paused." in page
    assert "The queue does not move" not in page
    cache.clear()
    emails(200, state="sent", delivery="bounced")
    assert "More than one in twenty emails bounces" in admin_client.get(path).content.decode()


def test_bars_fit_their_picture() -> None:
    days = [overview.Day(timezone.localdate(), delivered=1_000_000, other=3, lost=1) for _ in range(30)]
    found = overview.Overview(0, None, 0, 0, 0, False, days)
    for bar in front.bars(found):
        assert bar["x"] + bar["width"] <= front.WIDTH
        assert all(0 <= part["y"] and part["height"] >= 1 for part in bar["parts"])
    assert front.bars(overview.Overview(0, None, 0, 0, 0, False, [])) == []
