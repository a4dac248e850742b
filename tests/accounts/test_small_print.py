"""Small promises, each of which a change could break unseen."""

from typing import Any

import pytest
from axes.models import AccessAttempt
from django.test import Client
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts import lifecycle, links
from accounts.actions import ACTIONS
from accounts.admin.states import with_state
from accounts.forecast import forecast
from accounts.models import User
from accounts.tasks import send_password_reset
from emails.models import EmailKindSwitch, EmailLog, Suppression
from tests.accounts.test_links import ask, sealed, set_password
from tests.accounts.test_policy import LIST
from tests.accounts.test_taking_over import enrolled, signed_in
from tests.conftest import Commit
from tests.esp import LoopbackESP

pytestmark = pytest.mark.django_db


@pytest.mark.django_db(transaction=True)
def test_an_accepted_invitation_is_not_a_withdrawn_one(esp: LoopbackESP, asleep: None, client: Client) -> None:
    mei = User.objects.create_user("mei", "mei@example.com")
    assert set_password(client, ask("invitation", mei, esp)[0])
    mei.refresh_from_db()
    assert mei.invited_at is None
    assert list(mei.events.order_by("id").values_list("type", flat=True)) == ["invited", "accepted"]


def test_a_sign_in_forgives_the_failures_from_its_own_address_alone(linus: User) -> None:
    for address in ("10.0.0.1", "10.0.0.2"):
        Client(REMOTE_ADDR=address).post("/accounts/login/", {"username": "linus", "password": "x"})
    Client(REMOTE_ADDR="10.0.0.1").post("/accounts/login/", {"username": "linus", "password": "secret"})
    assert list(AccessAttempt.objects.values_list("ip_address", flat=True)) == ["10.0.0.2"]


def test_a_stranger_who_goes_on_and_on_fills_no_timeline(ada: User) -> None:
    for n in range(30):  # The last superuser, who is never locked out from elsewhere.
        Client(REMOTE_ADDR=f"10.0.{n}.1").post("/accounts/login/", {"username": "ada", "password": "x"})
    assert ada.events.filter(type="sign_in_failed").count() == 20


def test_removing_a_second_factor_ends_the_sessions_it_opened(commit: Commit, ada: User, linus: User) -> None:
    User.objects.filter(pk=linus.pk).update(is_staff=True)
    browser, _device = enrolled(linus)
    assert browser.get("/accounts/").status_code == 200
    lifecycle.reset_factor(User.objects.get(pk=linus.pk), "A lost phone.")
    assert browser.get("/accounts/").status_code == 302
    assert not TOTPDevice.objects.exists()


def test_who_is_disabled_gets_no_link(linus: User) -> None:
    User.objects.filter(pk=linus.pk).update(is_active=False)
    send_password_reset.call(sealed("linus@example.com"))
    assert not EmailLog.objects.filter(kind="password_reset").exists()


def test_who_has_complained_gets_security_mail_and_the_forecast_knows(ada: User, linus: User) -> None:
    Suppression.objects.create(address="linus@example.com", reason="complained")
    chosen = User.objects.filter(pk=linus.pk)
    assert [forecast(ada, ACTIONS[verb], chosen).emailed for verb in ("reset_password", "disable")] == [1, 0]
    assert links.send("password_reset", linus).state == "queued"


def test_what_is_anonymised_is_passed_over_by_everything_but_deletion(ada: User, linus: User) -> None:
    lifecycle.anonymise(linus, "He asked.")
    chosen = User.objects.filter(pk=linus.pk)
    assert {verb for verb, action in ACTIONS.items() if forecast(ada, action, chosen).count} == {"delete"}


def test_an_invitation_that_is_over_says_so(commit: Commit, ada: User, client: Client, settings: Any) -> None:
    with commit():
        mei = User.objects.create_user("mei", "mei@example.com")
    lifecycle.invite(mei)
    client.force_login(ada)
    for timeout, word in ((3600, "until "), (-1, "expired")):
        settings.INVITATION_TIMEOUT = timeout
        for page in (LIST, f"{LIST}{mei.pk}/change/"):
            assert word in client.get(page).content.decode(), (timeout, page)
    state: Any = with_state(User.objects.filter(pk=mei.pk)).get()
    assert state.state == "invited"


def test_while_invitations_are_off_the_welcome_goes_out(commit: Commit, ada: User, client: Client) -> None:
    EmailKindSwitch.objects.filter(key="invitation").update(enabled=False)
    client.force_login(ada)
    data = {"username": "mei", "email": "mei@example.com", "language": "en", "send_invitation": "on"}
    with commit():
        page = client.post(f"{LIST}add/", data, follow=True).content.decode()
    assert "Invitations are switched off" in page
    assert list(EmailLog.objects.filter(user__username="mei").values_list("kind", "state")) == [("welcome", "queued")]


def test_what_will_be_sent_is_shown_without_a_word_of_success(commit: Commit, ada: User, client: Client) -> None:
    client.force_login(ada)
    data = {"username": "mei", "email": "mei@example.com", "language": "en", "send_invitation": "on"}
    page = client.post(f"{LIST}add/", {**data, "_foresee": "1"}).content.decode()
    assert "Nothing is saved yet." in page
    assert "successfully" not in page
    assert "successfully" not in client.get(LIST).content.decode()


def test_a_reason_given_on_the_form_is_in_the_timeline(commit: Commit, ada: User, linus: User, client: Client) -> None:
    client.force_login(ada)
    data = {"username": "linus", "email": "linus@example.com", "language": "en", "reason": "Left us."}
    with commit():
        client.post(f"{LIST}{linus.pk}/change/", data)
    event = linus.events.get()
    assert (event.type, event.reason, event.actor_label) == ("disabled", "Left us.", "ada")
    with commit():
        client.post(f"{LIST}{linus.pk}/change/", {**data, "is_active": "on", "first_name": "Leo", "reason": ""})
    assert linus.events.latest("id").type == "enabled"


def test_the_whole_timeline_has_pages(ada: User, linus: User, client: Client) -> None:
    for _ in range(210):
        signed_in("linus") if _ < 2 else linus.events.model.note("signed_out", linus)
    client.force_login(ada)
    first = client.get(f"{LIST}{linus.pk}/history/")
    assert len(first.context["timeline"]) == 200
    second = client.get(f"{LIST}{linus.pk}/history/", {"before": first.context["older"]})
    assert [entry.what for entry in second.context["timeline"]][-1] == "Created"
    assert second.context["older"] == ""
