"""`demo --emails N`: a year of messages, of which most arrived, made in little time and the same each time."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import User
from emails import seeding
from emails.models import EmailLog, EmailRecipient, State

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("asleep")]


def test_it_looks_like_a_year_of_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeding, "BATCH", 700)
    heard: list[int] = []
    assert seeding.seed(2000, heard.append) == 2000
    assert heard == [700, 1400, 2000]
    statuses = Counter(email.status for email in EmailLog.objects.all())
    assert statuses["delivered"] > 1700
    assert {"bounced", "failed", "suppressed", "skipped"} <= set(statuses)
    assert not EmailLog.objects.filter(state__in=[State.QUEUED, State.RETRYING]).exists()
    assert EmailRecipient.objects.count() == 2000
    written = list(EmailLog.objects.order_by("pk").values_list("created_at", flat=True))
    assert written == sorted(written)
    assert written[0] < timezone.now() - timedelta(days=360) < written[-1] <= timezone.now()
    assert len(set(EmailLog.objects.values_list("kind", flat=True))) > 5


def test_the_command_adds_them_beside_people(settings: Any, capsys: Any) -> None:
    settings.DEBUG = True
    User.objects.create_superuser("ada", "ada@example.com")
    before = EmailLog.objects.count()
    call_command("demo", "--emails", "30")
    assert "30 sample messages of the past year were added" in capsys.readouterr().out
    assert EmailLog.objects.count() == before + 30
    with pytest.raises(CommandError, match="such as 10000"):
        call_command("demo", "--emails=-1")
    settings.DEBUG = False
    with pytest.raises(CommandError, match="DEBUG=true"):
        call_command("demo", "--emails", "30")
