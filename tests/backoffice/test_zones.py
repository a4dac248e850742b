"""Times are those of the reader's clock, and a cookie that names no zone changes nothing."""

from datetime import UTC, datetime

import pytest
from django.test import Client
from django.utils import timezone

from emails.models import EmailLog

pytestmark = pytest.mark.django_db
WHEN = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cookie", "shown"),
    [
        ("Europe/Berlin", "July 2, 2026, 00:30:00 CEST"),
        ("America/New_York", "July 1, 2026, 18:30:00 EDT"),
        ("", "July 1, 2026, 22:30:00 UTC"),
        ("Mars/Olympus", "July 1, 2026, 22:30:00 UTC"),
        ("../../etc/passwd", "July 1, 2026, 22:30:00 UTC"),
    ],
)
def test_times_are_in_the_readers_zone(admin_client: Client, cookie: str, shown: str) -> None:
    email = EmailLog.objects.create(created_at=WHEN, state="skipped")
    admin_client.cookies["tz"] = cookie
    assert shown in admin_client.get(email.get_absolute_url()).content.decode()
    assert shown in admin_client.get("/admin/emails/emaillog/").content.decode()
    assert timezone.get_current_timezone_name() == "UTC"  # The next request begins anew.


def test_days_of_a_search_are_the_readers(admin_client: Client) -> None:
    EmailLog.objects.create(created_at=WHEN, state="skipped", subject="Late in the evening")
    for cookie, found in (("Europe/Berlin", True), ("UTC", False)):
        admin_client.cookies["tz"] = cookie
        page = admin_client.get("/admin/emails/emaillog/", {"q": "after:2026-07-02"}).content.decode()
        assert ("Late in the evening" in page) is found
