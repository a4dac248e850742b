"""Small promises, each of which a change could break unseen."""

from typing import Any

import pytest
from axes.models import AccessAttempt
from django.db import OperationalError, transaction
from django.test import Client
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts import batches, lifecycle, links
from accounts.actions import ACTIONS, carry_out
from accounts.admin import acting
from accounts.admin.states import with_state
from accounts.forecast import forecast
from accounts.models import User
from accounts.resources import PersonResource
from accounts.tasks import send_password_reset
from backoffice.masking import masked
from emails import control
from emails.models import EmailKindSwitch, EmailLog, Suppression
from tests.accounts.test_files import root, staff, upload, work
from tests.accounts.test_links import ask, sealed, set_password
from tests.accounts.test_policy import LIST, denied, staff_with
from tests.accounts.test_taking_over import enrolled, signed_in
from tests.conftest import Commit
from tests.esp import LoopbackESP

pytestmark = pytest.mark.django_db
__all__ = ["root", "staff"]  # Fixtures.


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


# What a second round of attackers found ------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["_2B{}", "+{}", " {}", "{}_20"])
def test_another_way_to_write_a_number_is_nobody(commit: Commit, ada: User, client: Client, key: str) -> None:
    grace = staff_with(commit, "grace", "view_user", "change_user", "delete_user", "view_group", "change_group")
    client.force_login(grace)
    before = User.objects.get(pk=ada.pk)
    new = {"password1": "evil and long", "password2": "evil and long"}
    for person in (grace, ada):
        client.post(f"{LIST}{key.format(person.pk)}/password/", new)
        evil = {"username": "evil", "email": "e@example.com", "language": "en"}
        client.post(f"{LIST}{key.format(person.pk)}/change/", evil)
        client.post(f"{LIST}{key.format(person.pk)}/delete/", {"post": "yes"})
    assert User.objects.get(pk=ada.pk).password == before.password
    assert User.objects.get(pk=grace.pk).check_password("secret")
    assert not User.objects.filter(username="evil").exists()


def test_whose_factor_is_set_up_has_nothing_to_guess_on(ada: User) -> None:
    client, device = enrolled(ada)
    for n in range(3):
        assert client.post("/accounts/second-factor/setup/", {"token": f"{n:06d}"}).status_code == 400
    assert list(TOTPDevice.objects.values_list("pk", "confirmed")) == [(device.pk, True)]


@pytest.mark.parametrize("verb", ["disable", "anonymise", "sign_out", "delete"])
def test_a_button_asks_the_policy_with_the_person_held(
    commit: Commit, ada: User, linus: User, client: Client, monkeypatch: Any, verb: str
) -> None:
    codes = ("view_user", "change_user", "delete_user", "anonymise_user")
    grace = staff_with(commit, "grace", *codes)
    client.force_login(grace)

    def promoted_first(*args: Any) -> str:
        User.objects.filter(pk=linus.pk).update(is_superuser=True)
        return carry_out(*args)

    monkeypatch.setattr(acting, "carry_out", promoted_first)
    client.post(f"{LIST}{linus.pk}/act/{verb}/", {"confirm": "yes", "reason": "x"})
    after = User.objects.get(pk=linus.pk)
    assert (after.username, after.is_active, after.is_superuser, after.session_epoch) == ("linus", True, True, 0)
    assert denied() == [("grace", verb)]


@pytest.mark.django_db(transaction=True)
def test_a_file_whose_first_row_is_short_loses_nothing(root: User, staff: Client) -> None:
    rows = ["username,email,first_name,last_name", "linus,linus@example.com", "grace,grace@example.com,Grace,Hopper"]
    upload(staff, "\n".join(rows))
    staff.post(work().get_absolute_url(), {})
    work()
    assert User.objects.get(username="grace").get_full_name() == "Grace Hopper"
    answer = upload(staff, "username,email\nada,ada@example.com,Lovelace")
    assert "Row 2 has more cells than the first row names columns." in answer.content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_deadlock_in_a_row_is_no_mistake_of_the_row(root: User, staff: Client, monkeypatch: Any) -> None:
    upload(staff, "username,email\nmei,mei@example.com\nlena,lena@example.com")
    staff.post(work().get_absolute_url(), {})
    failed: list[int] = []

    def deadlock(self: Any, instance: User, is_create: bool) -> None:
        if not failed:
            failed.append(1)
            raise OperationalError("deadlock detected")
        instance.save()

    monkeypatch.setattr(PersonResource, "do_instance_save", deadlock)
    with pytest.raises(OperationalError):
        batches.take_slice()
    assert work().counts == {"new": 2}


@pytest.mark.django_db(transaction=True)
def test_who_is_not_invited_after_all_is_welcomed(root: User, staff: Client) -> None:
    EmailKindSwitch.objects.filter(key="invitation").update(enabled=False)
    upload(staff, "username,email\nmei,mei@example.com")
    staff.post(work().get_absolute_url(), {"invite": "1", "email_kinds": ["welcome"]})
    work()
    assert list(EmailLog.objects.filter(user__username="mei").values_list("kind", "state")) == [("welcome", "queued")]


@pytest.mark.django_db(transaction=True)
def test_an_invitation_outlives_what_its_own_transaction_did_before(ada: User) -> None:
    with transaction.atomic():
        mei = User.objects.create_user("mei", "mei@example.com", is_active=False)
    with transaction.atomic():
        lifecycle.enable(mei, "Back.")
        lifecycle.invite(mei)
        mei.language = "de"
        mei.save()
    mei.refresh_from_db()
    assert links.is_open(mei)
    assert not mei.events.filter(type="withdrawn").exists()


@pytest.mark.parametrize("before", ["2024-01-01", "2024-01-01T00:00:00", "x", "2024-01-01T00:00:00+00:00"])
def test_any_time_may_stand_in_the_address_of_a_timeline(ada: User, client: Client, before: str) -> None:
    client.force_login(ada)
    assert client.get(f"{LIST}{ada.pk}/history/", {"before": before}).status_code == 200


def test_a_token_is_masked_wherever_it_stands() -> None:
    token = f"dimemg-{'af54' * 8}"
    for text in (
        f"/accounts/reset/MQ/ {token}/",
        f"kwargs = {{'token': '{token}'}}",
        f"/accounts/invitation/MQ/{token}x",
    ):
        assert "af54af54" not in masked(text)


def test_disabled_by_a_query_and_enabled_again_is_signed_out(linus: User) -> None:
    client = signed_in("linus")
    for active in (False, True):
        User.objects.filter(pk=linus.pk).update(is_active=active)
    assert client.get("/accounts/").status_code == 302


def test_what_was_sent_is_not_sent_again_and_again(ada: User, linus: User) -> None:
    email = links.send("password_reset", linus)
    for state in ("claimed", "sending", "sent"):
        EmailLog.objects.filter(pk=email.pk).update(state=state)
        with pytest.raises(control.NotNow):
            control.send_again(email, ada, "x")


def test_a_former_username_is_forgotten(linus: User) -> None:
    Client().post("/accounts/login/", {"username": "linus", "password": "x"})
    linus.username = "leo"
    linus.save()
    assert not AccessAttempt.objects.exists()
