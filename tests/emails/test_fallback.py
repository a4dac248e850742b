"""A second provider takes over what certainly has not left, while the first one's lane is closed."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.db.models.functions import Now
from django.test import RequestFactory

from emails import delivery
from emails.admin.page import page
from emails.models import EmailLog, Lane, Pause
from tests.esp import LoopbackESP
from tests.log import force
from tests.webhooks import configure, environment

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("asleep")]


@pytest.fixture
def second() -> Iterator[LoopbackESP]:
    with LoopbackESP() as server:
        server.body = {"id": "of-resend"}
        yield server


@pytest.fixture(autouse=True)
def both(esp: LoopbackESP, second: LoopbackESP, settings: Any) -> None:
    values = environment("resend", second.url) | environment("postmark", esp.url)
    configure(settings, **values, EMAIL_FALLBACK_PROVIDER="resend", EMAIL_CONCURRENCY="2")


def record(count: int = 1) -> list[EmailLog]:
    messages = [EmailMessage("s", "b", to=[f"p{n}@example.com"]) for n in range(count)]
    for message in messages:
        message.send()
    return [message.email_log for message in messages]  # type: ignore[attr-defined]


def drain() -> None:
    delivery.drain(seconds=5)


def due_now() -> None:
    EmailLog.objects.filter(state="retrying").update(run_at=Now())


def providers() -> dict[str, int]:
    sent = list(EmailLog.objects.filter(state="sent").values_list("provider", flat=True))
    return {key: sent.count(key) for key in set(sent)}


def test_the_second_one_rests_while_the_first_is_well(esp: LoopbackESP, second: LoopbackESP) -> None:
    record(10)
    drain()
    assert (esp.requests, second.requests) == (10, 0)


def test_a_first_one_that_fails_loses_its_mail_to_the_second(esp: LoopbackESP, second: LoopbackESP) -> None:
    record(30)
    esp.fault = 503
    drain()
    due_now()
    drain()
    assert Lane.objects.get(key="postmark").reason == "failing"
    assert providers() == {"resend": 30}
    assert len(second.accepted) == 30
    assert esp.requests <= 7  # five failures, and what was on its way
    email = EmailLog.objects.latest("pk")
    assert str(page(email, RequestFactory().get("/"), bodies=False)["provider"]) == "Resend (fallback)"


def test_refused_settings_do_the_same(esp: LoopbackESP, second: LoopbackESP) -> None:
    record(10)
    esp.fault = 401
    drain()
    due_now()
    drain()
    assert Lane.objects.get(key="postmark").reason == "configuration"
    assert providers() == {"resend": 10}


def test_it_comes_back_by_itself(esp: LoopbackESP, second: LoopbackESP) -> None:
    esp.fault = 503
    record(10)
    drain()
    due_now()
    drain()
    esp.fault = None
    Lane.objects.update(closed_until=Now())
    record(10)
    for _ in range(3):
        drain()
        due_now()
    record(10)
    drain()
    assert not EmailLog.objects.exclude(state="sent").exists()
    assert providers()["postmark"] >= 10


@pytest.mark.parametrize("fault", ["reset-after", "garbage", "hang", 500])
def test_nothing_that_may_have_left_goes_through_the_second(
    fault: Any, esp: LoopbackESP, second: LoopbackESP, settings: Any
) -> None:
    settings.ANYMAIL = {**settings.ANYMAIL, "REQUESTS_TIMEOUT": 0.2}
    emails = record(8)
    esp.fault = fault
    for _ in range(4):
        drain()
        due_now()
    tried = [email.pk for email in emails if EmailLog.objects.get(pk=email.pk).uncertain]
    assert len(tried) >= 5
    by_second = set(EmailLog.objects.filter(provider="resend").values_list("pk", flat=True))
    assert not by_second & set(tried)
    assert len(second.accepted) == len(by_second)


def test_a_doubt_at_the_second_one_stays_there(esp: LoopbackESP, second: LoopbackESP) -> None:
    """Resend knows the message again by our key; the first one, open again, could not."""
    (email,) = record()
    force(email, state="retrying", provider="resend", uncertain=True, doubtful=True, attempts=1)
    EmailLog.objects.update(first_tried_at=Now(), run_at=Now())
    drain()
    assert (esp.requests, second.requests) == (0, 1)
    email.refresh_from_db()
    assert (email.state, email.provider) == ("sent", "resend")


def test_a_wait_that_the_first_one_asked_for_is_waited(esp: LoopbackESP, second: LoopbackESP) -> None:
    esp.fault, esp.headers = 429, {"Retry-After": "60"}
    record(5)
    drain()
    due_now()
    drain()
    assert second.requests == 0


def test_a_pause_of_all_sending_holds_both(esp: LoopbackESP, second: LoopbackESP) -> None:
    esp.fault = 503
    record(10)
    drain()
    Pause.objects.create(started_by_label="Ada", reason="stop")
    due_now()
    before = second.requests
    drain()
    assert second.requests == before


def test_where_both_fail_everything_waits(esp: LoopbackESP, second: LoopbackESP) -> None:
    esp.fault = second.fault = 503
    record(20)
    for _ in range(3):
        drain()
        due_now()
    assert set(EmailLog.objects.values_list("state", flat=True)) <= {"queued", "retrying"}
    assert second.requests <= 7
