"""Links in mail: they are in the outgoing bytes alone, work once, and die with what they were for."""

import json
import logging
import os
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test import Client

from accounts import lifecycle, links
from accounts.models import User
from accounts.tasks import send_password_reset
from accounts.tokens import TOKENS, password_reset_token
from emails import control, delivery
from emails.models import EmailLog
from emails.sealing import NAMES, locks
from tests.esp import LoopbackESP
from tests.log import newest

pytestmark = pytest.mark.django_db(transaction=True)
LINK = re.compile(r"https://backoffice\.example\.com(/accounts/(?:reset|invitation)/[\w-]+/([\w-]+)/)")
NUMBER = 100 if os.environ.get("THOROUGH") else 10  # Of each kind, in each state.
NEW = {"new_password1": "long and secret", "new_password2": "long and secret"}


@pytest.fixture
def mei() -> User:
    person = User.objects.create_user("mei", "mei@example.com", first_name="Mei")
    EmailLog.objects.update(state="cancelled")
    return person


def sealed(address: str) -> str:
    """As the task is handed it."""
    return locks().encrypt(address.encode()).decode()


def sent(esp: LoopbackESP, number: int = -1) -> tuple[str, str]:
    """The path and the token in a message that has arrived; the same in its text and its HTML."""
    message = esp.accepted[number]
    (text,), (html,) = ({found.groups() for found in LINK.finditer(message[part])} for part in ("TextBody", "HtmlBody"))
    assert text == html
    return text  # type: ignore[return-value]


def ask(kind: str, person: User, esp: LoopbackESP) -> tuple[str, str]:
    links.send(kind, person)
    delivery.drain(5)
    return sent(esp)


def set_password(client: Client, path: str) -> bool:
    """Follow the link as a browser does, and set a password; whether that was allowed."""
    response = client.get(path)
    if response.status_code != 302:
        return False
    return client.post(response["Location"], NEW).status_code == 302


def everything_stored() -> str:
    """Every column of every table, as text."""
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            found += [str(value) for row in cursor.fetchall() for value in row]
    return "\n".join(found)


@pytest.mark.parametrize("kind", ["invitation", "password_reset"])
def test_s17_a_link_works_once(esp: LoopbackESP, asleep: None, mei: User, client: Client, kind: str) -> None:
    path, _token = ask(kind, mei, esp)
    assert client.get(path).status_code == 302  # A scanner that follows it uses nothing up.
    assert Client().get(path).status_code == 302
    assert set_password(client, path)
    mei.refresh_from_db()
    assert mei.check_password("long and secret")
    assert not set_password(Client(), path)
    assert "does not work any more" in Client().get(path).content.decode()


@pytest.mark.parametrize("kind", ["invitation", "password_reset"])
@pytest.mark.parametrize(
    "change",
    [
        {"email": "other@example.com"},
        {"is_active": False},
        {"password": "md5$x$y"},
        {"session_epoch": 5},
        {"last_login": "2026-01-01T00:00:00Z"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_s17_a_link_dies_with_what_it_was_for(
    esp: LoopbackESP, asleep: None, mei: User, client: Client, kind: str, change: dict[str, Any]
) -> None:
    path, _token = ask(kind, mei, esp)
    User.objects.filter(pk=mei.pk).update(**change)
    assert not set_password(client, path)


@pytest.mark.parametrize(("kind", "hours"), [("invitation", 7 * 24), ("password_reset", 24)])
def test_s17_a_link_expires(
    esp: LoopbackESP, asleep: None, mei: User, client: Client, kind: str, hours: int, time_machine: Any
) -> None:
    path, _token = ask(kind, mei, esp)
    now = datetime.now(UTC)
    time_machine.move_to(now + timedelta(hours=hours, minutes=-5))
    assert client.get(path).status_code == 302
    time_machine.move_to(now + timedelta(hours=hours, minutes=5))
    assert not set_password(client, path)


def test_one_purpose_does_not_open_the_other(esp: LoopbackESP, asleep: None, mei: User, client: Client) -> None:
    path, _token = ask("password_reset", mei, esp)
    assert not set_password(client, path.replace("/reset/", "/invitation/"))


def test_a_new_invitation_and_a_withdrawal_kill_the_one_before(
    esp: LoopbackESP, asleep: None, mei: User, client: Client
) -> None:
    first, _token = ask("invitation", mei, esp)
    second, _token = ask("invitation", mei, esp)
    assert first != second
    assert not set_password(client, first)
    lifecycle.withdraw(User.objects.get(pk=mei.pk), "A mistake.")
    assert not set_password(client, second)


@pytest.mark.parametrize(
    "change", [{"email": "other@example.com"}, {"is_active": False}, {"password": "md5$x$y"}, {"invited_at": None}]
)
def test_an_invitation_that_is_stale_before_it_is_sent_is_cancelled(
    esp: LoopbackESP, asleep: None, mei: User, change: dict[str, Any]
) -> None:
    email = links.send("invitation", mei)
    User.objects.filter(pk=mei.pk).update(**change)
    delivery.drain(5)
    email.refresh_from_db()
    assert (email.state, esp.accepted) == ("cancelled", [])
    assert "would be dead" in email.error
    assert [event.type for event in email.events.all()] == ["cancelled"]


def test_every_attempt_has_the_same_bytes(esp: LoopbackESP, asleep: None, mei: User) -> None:
    links.send("password_reset", mei)
    esp.fault = lambda number: 503 if number <= 2 else None
    for _attempt in range(3):
        EmailLog.objects.filter(state="retrying").update(run_at=newest().created_at)
        delivery.drain(5)
    assert (newest().state, len(esp.bodies), len(set(esp.bodies))) == ("sent", 3, 1)


def test_a_new_secret_key_leaves_what_waits_alive(
    esp: LoopbackESP, asleep: None, mei: User, client: Client, settings: Any
) -> None:
    links.send("password_reset", mei)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [settings.SECRET_KEY]
    password_reset_token.__dict__.pop("_secret", None)
    password_reset_token.__dict__.pop("_secret_fallbacks", None)
    delivery.drain(5)
    assert newest().state == "sent"
    assert set_password(client, sent(esp)[0])


@pytest.mark.parametrize("state", ["queued", "sent", "retrying", "failed", "in_doubt", "cancelled"])
def test_s15_no_working_token_is_kept_anywhere(
    esp: LoopbackESP, asleep: None, ada: User, client: Client, caplog: pytest.LogCaptureFixture, state: str
) -> None:
    caplog.set_level(logging.DEBUG)
    people = [User.objects.create_user(f"p{n}", f"p{n}@example.com") for n in range(NUMBER)]
    EmailLog.objects.all().delete()
    faults = {"retrying": 503, "failed": 422, "in_doubt": 0}
    esp.fault = lambda number: faults.get(state)  # type: ignore[assignment]
    tokens = set()
    for person in people:
        for kind, generator in TOKENS.items():
            email = links.send(kind, person)
            tokens |= {*generator.made_at(User.objects.get(pk=person.pk), email.created_at)}
    if state == "cancelled":
        User.objects.filter(username__startswith="p").update(is_active=False)
    if state != "queued":
        delivery.drain(30)
    # With the provider failing, its lane is closed before all of them have been tried.
    assert state in set(EmailLog.objects.values_list("state", flat=True)) <= {state, "queued"}
    stored = everything_stored()
    pages = []
    client.force_login(ada)
    for email in EmailLog.objects.order_by("?")[:3]:
        for path in ("change/", "preview/"):
            pages.append(client.get(f"/admin/emails/emaillog/{email.pk}/{path}").content.decode())
    assert all("⟦secret⟧" in email.text for email in EmailLog.objects.all())
    assert len(tokens) == 2 * NUMBER
    for token in tokens:
        secret = token.partition("-")[2]
        assert secret not in stored
        assert secret not in caplog.text
        assert not any(secret in page for page in pages)


def test_s16_sending_again_issues_anew_to_the_address_of_now(
    esp: LoopbackESP, asleep: None, ada: User, mei: User, client: Client
) -> None:
    links.send("password_reset", mei)
    esp.fault = lambda number: 422
    delivery.drain(5)
    User.objects.filter(pk=mei.pk).update(email="new@example.com")
    old = newest()
    client.force_login(ada)
    url = f"/admin/emails/emaillog/{old.pk}/resend/"
    again = {"way": "anew", "reason": "She asked.", "to": "evil@evil.example", "recipient": "evil@evil.example"}
    assert client.post(url, again).status_code == 302
    assert "sent again already" in client.post(url, again).content.decode()
    new = newest()
    assert (new.resend_of, new.kind, new.secret != old.secret) == (old, "password_reset", True)
    assert [recipient.address for recipient in new.recipients.all()] == ["new@example.com"]
    assert EmailLog.objects.filter(kind="password_reset").count() == 2


def test_s16_sending_again_for_who_is_gone_is_refused(esp: LoopbackESP, asleep: None, ada: User, mei: User) -> None:
    links.send("invitation", mei)
    esp.fault = lambda number: 422
    delivery.drain(5)
    lifecycle.withdraw(mei, "A mistake.")
    with pytest.raises(control.NotNow):
        control.send_again(newest(), ada, "x")


def test_s27_links_come_from_site_url_whatever_host_was_asked(
    esp: LoopbackESP, asleep: None, mei: User, client: Client, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    headers = {"host": "evil.example", "x-forwarded-host": "evil.example"}
    client.post("/accounts/password_reset/", {"email": "mei@example.com"}, headers=headers)
    send_password_reset.call(sealed("mei@example.com"))
    delivery.drain(5)
    assert "evil.example" not in json.dumps(esp.accepted)
    assert sent(esp)


def test_s28_known_and_unknown_addresses_get_the_same_answer(mei: User, client: Client) -> None:
    User.objects.create_user("gone", "gone@example.com", is_active=False)
    answers = set()
    for address in ("mei@example.com", "gone@example.com", "nobody@example.com"):
        before = everything_stored().count(address)
        response = client.post("/accounts/password_reset/", {"email": address}, follow=True)
        text = re.sub(r"csrfmiddlewaretoken[^>]*", "", response.content.decode())
        # One task each, and nothing else: what takes time is done where nobody can measure it.
        answers.add((response.status_code, text, everything_stored().count(address) - before))
    assert len(answers) == 1
    assert not EmailLog.objects.filter(kind="password_reset").exists()


def test_a_stranger_can_not_fill_an_inbox(mei: User) -> None:
    for _ in range(6):
        send_password_reset.call(sealed("MEI@example.com"))
    assert EmailLog.objects.filter(kind="password_reset").count() == 3
    lifecycle.reset_password(mei)


def test_who_never_had_a_password_can_get_one(esp: LoopbackESP, asleep: None, mei: User, client: Client) -> None:
    assert not mei.has_usable_password()
    send_password_reset.call(sealed("mei@example.com"))
    delivery.drain(5)
    assert set_password(client, sent(esp)[0])


READY_MADE = (
    "Reset it: https://shop.example.com/reset/MQ/c1x2y3-0123456789abcdef0123456789abcdef/ or "
    "https://shop.example.com/in?token=s3cr3t-s3cr3t-s3cr3t&next=/ or https://other.example.com/magic/ABCDEFGHIJKLMNOPQRSTUV"
)
SECRETS = ("0123456789abcdef0123456789abcdef", "s3cr3t-s3cr3t-s3cr3t", "ABCDEFGHIJKLMNOPQRSTUV")


def test_ready_made_links_of_other_code_are_sealed_and_then_forgotten(esp: LoopbackESP, asleep: None) -> None:
    html = f"<p>{READY_MADE.replace('&', '&amp;')}</p>"
    mail.send_mail("Reset", READY_MADE, None, ["a@example.com"], html_message=html)
    email = newest()
    assert not any(secret in everything_stored() for secret in SECRETS)
    assert email.sealed
    delivery.drain(5)
    assert esp.accepted[0]["TextBody"].strip() == READY_MADE
    assert esp.accepted[0]["HtmlBody"].strip() == html
    EmailLog.objects.forget_sealed()
    email.refresh_from_db()
    assert (email.state, email.sealed) == ("sent", "")
    assert "⟦secret:1⟧" in email.text


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("before", ["?", "&", "&amp;", "#", "?next=/&amp;email_"])
def test_a_secret_under_any_of_the_names_is_sealed(esp: LoopbackESP, asleep: None, name: str, before: str) -> None:
    html = f"<p>https://shop.example.com/in{before}{name}=s3cr3t-s3cr3t-s3cr3t</p>"
    mail.send_mail("In", "See the HTML", None, ["a@example.com"], html_message=html)
    assert "s3cr3t-s3cr3t" not in everything_stored()
    delivery.drain(5)
    assert esp.accepted[0]["HtmlBody"].strip() == html


def test_more_patterns_come_from_a_setting(esp: LoopbackESP, asleep: None, settings: Any) -> None:
    settings.EMAILS = {**settings.EMAILS, "SECRET_PATTERNS": [r"code is (\d{6})"]}
    mail.send_mail("Code", "Your code is 123456.", None, ["a@example.com"])
    assert "123456" not in everything_stored()
    delivery.drain(5)
    assert "123456" in esp.accepted[0]["TextBody"]


def test_what_was_sealed_with_a_key_that_is_gone_is_cancelled(esp: LoopbackESP, asleep: None, settings: Any) -> None:
    mail.send_mail("Reset", READY_MADE, None, ["a@example.com"])
    settings.SECRET_KEY = "another"
    delivery.drain(5)
    assert (newest().state, esp.accepted) == ("cancelled", [])
    assert "SECRET_KEY" in newest().error


def test_nobodys_name_is_a_place_for_a_secret(esp: LoopbackESP, asleep: None, mei: User) -> None:
    mei.first_name = "⟦secret⟧"
    mei.save()
    _path, token = ask("password_reset", mei, esp)
    assert esp.accepted[-1]["TextBody"].count(token) == 1
