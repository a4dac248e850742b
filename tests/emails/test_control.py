"""Staff pause and resume all sending, cancel, hurry, settle doubts and send again; nothing else, and never twice."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.mail import EmailMultiAlternatives
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from accounts.models import User
from emails import delivery
from emails.cause import suppress_emails
from emails.models import EmailLog, Lane, Pause, State
from tests.esp import LoopbackESP
from tests.log import force, sent_to

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("asleep")]


@pytest.fixture
def email() -> EmailLog:
    message = EmailMultiAlternatives("Hello", "The text", to=["Linus <linus@example.com>"], bcc=["b@example.com"])
    message.attach_alternative("<p>The html</p>", "text/html")
    message.attach("bill.pdf", b"%PDF", "application/pdf")
    message.send()
    return message.email_log  # type: ignore[attr-defined,no-any-return]


@pytest.fixture(autouse=True)
def no_other_mail() -> Iterator[None]:
    """Nothing is mailed about the people that a test makes."""
    with suppress_emails("a test"):
        yield


def hellos() -> Any:
    return EmailLog.objects.filter(subject="Hello")


def press(client: Client, email: EmailLog, verb: str, reason: str = "because") -> Any:
    path = f"/admin/emails/emaillog/{email.pk}/resend/" if verb == "send_again" else control(email)
    response = client.post(path, {"verb": verb, "reason": reason}, follow=True)
    email.refresh_from_db()
    return response


def control(email: EmailLog) -> str:
    return f"/admin/emails/emaillog/{email.pk}/control/"


def said(response: Any) -> str:
    form = response.context.get("form")
    errors = [str(error) for errors in form.errors.values() for error in errors] if form else []
    return " ".join([*map(str, response.context["messages"]), *errors])


def staff(client: Client, *codenames: str) -> Client:
    grace = User.objects.create_user("grace", "grace@example.com", is_staff=True)
    grace.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(grace)
    return client


def test_what_has_not_left_is_cancelled_with_the_reason(admin_client: Client, email: EmailLog) -> None:
    press(admin_client, email, "cancel", "wrong person")
    assert (email.state, email.error) == ("cancelled", "wrong person")
    page = admin_client.get(email.get_absolute_url()).content.decode()
    assert "admin: wrong person" in page
    assert delivery.drain(1) == (0, False)


@pytest.mark.parametrize("state", [State.CLAIMED, State.SENDING, State.SENT, State.IN_DOUBT, State.FAILED])
def test_what_is_leaving_or_has_ended_is_not_cancelled(admin_client: Client, email: EmailLog, state: State) -> None:
    force(email, state=state)
    assert "already leaving" in said(press(admin_client, email, "cancel"))
    assert email.state == state


def test_what_may_have_left_before_is_not_cancelled(admin_client: Client, email: EmailLog) -> None:
    force(email, state=State.RETRYING, doubtful=True)
    press(admin_client, email, "cancel")
    assert email.state == "retrying"


def test_a_retry_is_made_now(admin_client: Client, email: EmailLog) -> None:
    force(email, state=State.RETRYING, run_at=timezone.now() + timedelta(hours=1))
    press(admin_client, email, "hurry", reason="")
    assert email in EmailLog.objects.due()


def test_a_doubt_is_settled_as_arrived(admin_client: Client, email: EmailLog) -> None:
    force(email, state=State.IN_DOUBT, provider="postmark")
    press(admin_client, email, "believe", "she answered it")
    assert (email.state, email.error) == ("sent", "she answered it")
    assert email.sent_at is not None
    event = email.events.exclude(type="read").get()
    assert (event.type, event.detail["by"], event.actor) == ("sent", "admin", User.objects.get(username="admin"))


def test_a_doubt_is_settled_by_sending_again(admin_client: Client, email: EmailLog, esp: LoopbackESP) -> None:
    force(email, state=State.IN_DOUBT, provider="postmark")
    press(admin_client, email, "send_again", "she has not got it")
    new = hellos().exclude(pk=email.pk).get()
    assert (email.state, email.error) == ("failed", f"Sent again as #{new.pk}.")
    assert (new.state, new.resend_of, new.actor_label) == ("queued", email, "admin")
    assert (new.subject, new.text, new.html) == (email.subject, email.text, email.html)
    assert sent_to(new) == sent_to(email)
    assert new.ref != email.ref
    assert delivery.drain(3) == (1, False)
    assert esp.refs == [str(new.ref)]
    assert esp.accepted[0]["Attachments"][0]["Name"] == "bill.pdf"
    page = admin_client.get(email.get_absolute_url()).content.decode()
    assert new.get_absolute_url() in page
    assert email.get_absolute_url() in admin_client.get(new.get_absolute_url()).content.decode()


def test_a_second_click_sends_nothing(admin_client: Client, email: EmailLog) -> None:
    force(email, state=State.FAILED)
    press(admin_client, email, "send_again")
    assert "again already" in press(admin_client, email, "send_again").content.decode()
    assert hellos().count() == 2


@pytest.mark.parametrize("state", [State.QUEUED, State.CLAIMED, State.SENDING, State.RETRYING])
def test_what_may_still_arrive_is_not_sent_again(admin_client: Client, email: EmailLog, state: State) -> None:
    force(email, state=state)
    press(admin_client, email, "send_again")
    assert hellos().count() == 1


@pytest.mark.parametrize("verb", ["cancel", "believe", "send_again"])
def test_a_reason_is_asked_for(admin_client: Client, email: EmailLog, verb: str) -> None:
    force(email, state=State.IN_DOUBT if verb != "cancel" else State.QUEUED)
    assert "Say why" in said(press(admin_client, email, verb, reason=" "))
    assert not email.events.exclude(type="read").exists()


@pytest.mark.parametrize("verb", ["", "delete", "settle_doubt", "__class__"])
def test_nothing_else_can_be_asked_for(admin_client: Client, email: EmailLog, verb: str) -> None:
    assert press(admin_client, email, verb).status_code == 403


def test_it_needs_the_permission_and_a_post(client: Client, email: EmailLog) -> None:
    staff(client, "view_emaillog")
    assert client.post(control(email), {"verb": "cancel", "reason": "x"}).status_code == 403
    assert client.get(control(email)).status_code == 405
    assert client.post("/admin/emails/lane/pause/", {"reason": "x"}).status_code == 403
    assert "Cancel it" not in client.get(email.get_absolute_url()).content.decode()
    assert not Pause.objects.exists()


def test_a_forged_form_is_refused(email: EmailLog) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("admin", "admin@example.com"))
    assert client.post(control(email), {"verb": "cancel", "reason": "x"}).status_code == 403
    assert client.post("/admin/emails/lane/pause/", {"reason": "x"}).status_code == 403


def test_all_sending_is_paused_and_resumed(client: Client, email: EmailLog, esp: LoopbackESP) -> None:
    staff(client, "control_delivery")
    client.post("/admin/emails/lane/pause/", {"reason": "a wrong import"})
    assert delivery.drain(1) == (0, True)
    assert esp.requests == 0
    page = client.get("/admin/emails/lane/").content.decode()
    assert "a wrong import" in page
    assert "grace" in page
    client.post("/admin/emails/lane/pause/", {"resume": "yes"})
    assert delivery.drain(3) == (1, False)
    page = client.get("/admin/emails/lane/").content.decode()
    assert "Earlier pauses" in page
    assert "Postmark" in page


def test_a_pause_needs_a_reason(admin_client: Client) -> None:
    admin_client.post("/admin/emails/lane/pause/", {"reason": " "})
    assert not Pause.objects.exists()


def test_there_is_never_more_than_one_pause(admin_client: Client) -> None:
    for _ in range(2):
        admin_client.post("/admin/emails/lane/pause/", {"reason": "twice"})
    assert Pause.objects.count() == 1
    with pytest.raises(IntegrityError), transaction.atomic():
        Pause.objects.create(started_by_label="x", reason="y")


def test_lanes_are_looked_at_and_not_changed(admin_client: Client) -> None:
    lane = Lane.objects.create(key="postmark", reason="failing", error="HTTP 503")
    assert "HTTP 503" in admin_client.get("/admin/emails/lane/").content.decode()
    assert admin_client.get("/admin/emails/lane/add/").status_code == 403
    assert admin_client.post(f"/admin/emails/lane/{lane.pk}/change/", {"reason": ""}).status_code == 403
    assert admin_client.post(f"/admin/emails/lane/{lane.pk}/delete/", {"post": "yes"}).status_code == 403
