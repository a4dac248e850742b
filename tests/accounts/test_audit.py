"""The trail: nobody rewrites it, it tells who has looked, and log lines hold nothing that belongs to a person."""

import logging
import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from accounts import lifecycle
from accounts.models import PersonEvent, User
from emails import delivery
from emails.models import EmailEvent, EmailLog
from tests.accounts.test_links import LINK, NEW
from tests.accounts.test_policy import staff_with
from tests.conftest import Commit
from tests.esp import LoopbackESP

pytestmark = pytest.mark.django_db


@pytest.fixture
def trail(commit: Commit, ada: User, linus: User, client: Client) -> Client:
    """A superuser at a trail with something of everything in it."""
    client.force_login(ada)
    with commit():
        client.post(f"/admin/accounts/user/{linus.pk}/act/disable/", {"confirm": "yes", "reason": "Left."})
    EmailEvent.of_staff(EmailLog.objects.latest("id"), "hurried", ada).save()
    return client


@pytest.mark.parametrize("model", [EmailLog, EmailEvent, PersonEvent, LogEntry])
def test_s41_a_superuser_rewrites_nothing_of_the_trail(trail: Client, model: Any) -> None:
    rows = list(model.objects.order_by("pk").values())
    assert rows
    pk = rows[0][model._meta.pk.attname]
    url = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    forged = {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "0", "form-0-id": "99", "_save": "Save", "subject": "x"}
    refused = [
        trail.get(f"{url}add/").status_code,
        trail.post(f"{url}add/", forged).status_code,
        trail.post(f"{url}{pk}/change/", {"subject": "x", "reason": "x"}).status_code,
        trail.post(f"{url}{pk}/delete/", {"post": "yes"}).status_code,
    ]
    assert set(refused) <= {403, 404, 405}
    trail.post(url, {"action": "delete_selected", "_selected_action": [pk], "post": "yes"})
    trail.post(url, forged)
    assert [row for row in model.objects.order_by("pk").values() if row["id"] <= rows[-1]["id"]] == rows


def test_s42_who_reads_a_body_is_recorded_and_who_reads_facts_is_not(commit: Commit, trail: Client, ada: User) -> None:
    email = EmailLog.objects.latest("id")
    url = f"/admin/emails/emaillog/{email.pk}"

    def readings() -> list[tuple[str, str]]:
        read = EmailEvent.objects.filter(type="read")
        return [(event.detail["by"], event.detail["address"]) for event in read.order_by("id")]

    trail.get("/admin/emails/emaillog/")
    auditor = Client(REMOTE_ADDR="192.0.2.7")
    auditor.force_login(staff_with(commit, "auditor", "view_emaillog"))
    assert auditor.get(f"{url}/change/").status_code == 200
    assert auditor.get(f"{url}/preview/").status_code == 403
    assert readings() == []
    reader = Client(REMOTE_ADDR="192.0.2.8")
    reader.force_login(staff_with(commit, "reader", "view_emaillog", "view_email_body"))
    for _ in range(2):  # The page with its frame, twice in a sitting.
        reader.get(f"{url}/change/")
        reader.get(f"{url}/preview/")
    trail.get(f"{url}/preview/")
    assert readings() == [("reader", "192.0.2.8"), ("ada", "127.0.0.1")]
    assert "Who has read it" in auditor.get(f"{url}/change/").content.decode()


def test_s42_a_reading_long_after_is_another_one(trail: Client, time_machine: Any) -> None:
    email = EmailLog.objects.latest("id")
    trail.get(f"/admin/emails/emaillog/{email.pk}/change/")
    EmailEvent.objects.filter(type="read").update(recorded_at="2020-01-01T00:00:00Z")
    trail.get(f"/admin/emails/emaillog/{email.pk}/change/")
    assert EmailEvent.objects.filter(type="read").count() == 2


@pytest.mark.django_db(transaction=True)
def test_s43_no_log_line_at_debug_holds_an_address_a_body_or_a_token(
    ada: User, esp: LoopbackESP, asleep: None, client: Client, caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    client.force_login(User.objects.get(pk=ada.pk))
    secretive = {"username": "zofia", "email": "zofia@example.com", "language": "en", "send_invitation": "on"}
    client.post("/admin/accounts/user/add/", secretive)
    zofia = User.objects.get(username="zofia")
    esp.fault = lambda number: (503, 422, 500, None)[min(number - 1, 3)]
    for _attempt in range(6):
        EmailLog.objects.filter(state="retrying").update(run_at="2020-01-01T00:00:00Z")
        delivery.drain(5)
    lifecycle.reset_password(zofia)
    delivery.drain(5)
    path, token = LINK.findall(str(esp.accepted[-1]["TextBody"]))[0]
    browser = Client()
    browser.post(browser.get(path)["Location"], NEW)
    browser.post("/accounts/login/", {"username": "zofia", "password": "wrong one"})
    browser.post("/accounts/login/", {"username": "zofia", "password": "long and secret"})
    browser.post("/accounts/password_reset/", {"email": "zofia@example.com"})
    client.post(f"/admin/accounts/user/{zofia.pk}/act/disable/", {"confirm": "yes", "reason": "She has left us."})
    lifecycle.anonymise(User.objects.get(pk=zofia.pk), "She asked.")
    said = caplog.text
    assert "email." in said
    assert token not in said
    assert "zofia" not in said.lower()
    assert not re.search(r"[\w.]+@example\.com", said)
    for word in ("long and secret", "wrong one", "left us", "server_token", "Somebody"):
        assert word not in said
