"""Signing in: throttled, with a second factor, in sessions that end; on pages that lead nowhere else."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts import factors, lifecycle
from accounts.models import PersonEvent, RecoveryDevice, User
from accounts.policy import refusal
from backoffice.env import Env
from tests.conftest import Commit
from tests.log import newest

pytestmark = pytest.mark.django_db
LOGIN = "/accounts/login/"


def attempt(username: str, password: str = "wrong", address: str = "10.0.0.1", **headers: str) -> int:
    client = Client(REMOTE_ADDR=address, headers=headers)
    return client.post(LOGIN, {"username": username, "password": password}).status_code


@pytest.fixture
def other(commit: Commit) -> User:
    """Another superuser, so that ada is not the last one."""
    with commit():
        return User.objects.create_superuser("other", "other@example.com", "secret")


def test_s29_one_account_from_many_places_is_locked(linus: User) -> None:
    answers = [attempt("linus", address=f"10.0.0.{n}") for n in range(20)]
    assert answers[:9] == [200] * 9
    assert set(answers[10:]) == {429}
    assert attempt("linus", "secret", "10.9.9.9") == 429
    assert linus.events.filter(type="locked").count() == 1


def test_s29_one_place_at_many_accounts_is_locked(commit: Commit, linus: User) -> None:
    answers = [attempt(f"nobody{n}") for n in range(20)]
    assert set(answers[10:]) == {429}
    assert attempt("linus", "secret") == 429
    assert attempt("linus", "secret", "10.0.0.2") == 302


def test_s29_what_a_client_says_of_its_address_counts_for_nothing(linus: User) -> None:
    answers = [attempt(f"nobody{n}", **{"x-forwarded-for": f"10.1.1.{n}"}) for n in range(20)]
    assert set(answers[10:]) == {429}


def test_s29_behind_a_proxy_the_last_entry_counts(linus: User, settings: Any) -> None:
    settings.BEHIND_PROXY = True
    answers = [attempt(f"nobody{n}", **{"x-forwarded-for": f"10.1.1.{n}, 192.0.2.7"}) for n in range(20)]
    assert set(answers[10:]) == {429}
    assert attempt("linus", "secret", **{"x-forwarded-for": "192.0.2.8"}) == 302


def test_s29_nobody_locks_out_the_last_superuser_from_elsewhere(ada: User) -> None:
    for n in range(30):
        attempt("ada", address=f"10.0.{n}.1")
    assert attempt("ada", "secret", "192.0.2.1") == 302
    for _ in range(12):
        attempt("ada", address="192.0.2.2")
    assert attempt("ada", "secret", "192.0.2.2") == 429


def test_one_sign_in_does_not_forgive_failures_at_other_accounts(linus: User, ada: User) -> None:
    for n in range(9):
        attempt(f"nobody{n}")
    assert attempt("linus", "secret") == 302
    attempt("nobody10")
    assert attempt("linus", "secret") == 429


def test_a_locked_account_is_shown_and_unlocked(commit: Commit, ada: User, other: User, linus: User) -> None:
    for n in range(12):
        attempt("linus", address=f"10.0.0.{n}")
    client = Client()
    client.force_login(ada)
    assert list(client.get("/admin/accounts/user/", {"state": "locked"}).context["cl"].result_list) == [linus]
    page = client.get(f"/admin/accounts/user/{linus.pk}/change/").content.decode()
    assert "Locked" in page
    client.post(f"/admin/accounts/user/{linus.pk}/act/unlock/", {"confirm": "yes"})
    assert attempt("linus", "secret", "10.9.9.9") == 302
    assert linus.events.filter(type="unlocked", actor=ada).exists()


def test_the_page_of_a_lock_says_what_to_do(linus: User) -> None:
    client = Client()
    for _ in range(12):
        response = client.post(LOGIN, {"username": "linus", "password": "wrong"})
    assert (response.status_code, "quarter of an hour" in response.content.decode()) == (429, True)


# A second factor ------------------------------------------------------------------------------------------------------


def code(device: Any, ahead: int = 0) -> str:
    return f"{totp(device.bin_key, drift=ahead):06d}"


def with_factor(person: User) -> Any:
    return TOTPDevice.objects.create(user=person, name="x", confirmed=True)


def signed_in(username: str = "ada") -> Client:
    client = Client()
    assert client.post(LOGIN, {"username": username, "password": "secret"}).status_code == 302
    return client


def test_s30_a_factor_is_asked_for_on_every_way_in(ada: User) -> None:
    device = with_factor(ada)
    client = signed_in()
    for path in ("/admin/", "/admin/accounts/user/", f"/admin/accounts/user/{ada.pk}/change/", "/accounts/"):
        assert client.get(path)["Location"].startswith("/accounts/second-factor/?next=")
        assert client.post(path).status_code == 302
    response = client.post("/accounts/second-factor/", {"token": code(device), "next": "/admin/accounts/user/"})
    assert response["Location"] == "/admin/accounts/user/"
    assert client.get("/admin/").status_code == 200


def test_s30_the_admins_own_login_asks_too(ada: User) -> None:
    with_factor(ada)
    client = Client()
    client.post("/admin/login/", {"username": "ada", "password": "secret", "next": "/admin/"})
    assert client.get("/admin/")["Location"].startswith("/accounts/second-factor/")


def test_s30_a_code_works_once(ada: User) -> None:
    device = with_factor(ada)
    token = code(device)
    assert signed_in().post("/accounts/second-factor/", {"token": token}).status_code == 302
    again = signed_in()
    assert again.post("/accounts/second-factor/", {"token": token}).status_code == 400
    assert again.get("/admin/").status_code == 302


def test_s30_guessing_is_slowed_down(ada: User) -> None:
    device = with_factor(ada)
    client = signed_in()
    for _ in range(5):
        assert client.post("/accounts/second-factor/", {"token": "000000"}).status_code == 400
    assert client.post("/accounts/second-factor/", {"token": code(device)}).status_code == 400
    assert ada.events.filter(type="factor_failed").count() == 6


def test_s30_recovery_codes_are_hashed_and_work_once(ada: User) -> None:
    with_factor(ada)
    codes = factors.renew_recovery(ada)
    stored = str(RecoveryDevice.objects.values())
    assert not any(known.replace("-", "") in stored or known in stored for known in codes)
    client = signed_in()
    assert client.post("/accounts/second-factor/", {"token": codes[0].upper()}).status_code == 302
    assert client.get("/admin/").status_code == 200
    assert signed_in().post("/accounts/second-factor/", {"token": codes[0]}).status_code == 400
    assert ada.events.filter(type="recovery_used").count() == 1


def test_s30_required_means_that_staff_set_one_up_first(ada: User, linus: User, settings: Any) -> None:
    settings.STAFF_2FA = "required"
    client = signed_in()
    assert client.get("/admin/")["Location"].startswith("/accounts/second-factor/setup/")
    page = client.get("/accounts/second-factor/setup/?next=/admin/")
    assert "<svg" in page.content.decode()
    device = TOTPDevice.objects.get(user=ada)
    wrong = client.post("/accounts/second-factor/setup/", {"token": "123456"})
    assert wrong.status_code == 400
    device.refresh_from_db()
    device.throttle_reset()
    elsewhere = Client()
    elsewhere.force_login(ada)
    answer = client.post("/accounts/second-factor/setup/", {"token": code(device), "next": "/admin/"})
    assert answer.content.decode().count("<code>") == 10
    assert client.get("/admin/").status_code == 200
    assert elsewhere.get("/admin/").status_code == 302
    assert newest().kind == "second_factor_changed"
    assert Client().get("/accounts/second-factor/setup/").status_code == 302
    assert signed_in("linus").get("/accounts/").status_code == 200  # Who is no staff is not asked.


def test_s30_the_key_is_shown_until_it_is_confirmed_and_never_after(ada: User) -> None:
    client = signed_in()
    page = client.get("/accounts/second-factor/setup/")
    device = TOTPDevice.objects.get(user=ada)
    key = page.context["key"].replace(" ", "")
    client.post("/accounts/second-factor/setup/", {"token": code(device)})
    for path in ("/accounts/second-factor/setup/", "/accounts/", f"/admin/accounts/user/{ada.pk}/change/", "/admin/"):
        assert key not in client.get(path).content.decode().replace(" ", "")
    assert client.get("/admin/otp_totp/totpdevice/").status_code == 404


def test_s30_who_has_a_factor_can_not_set_up_another_before_proving_it(ada: User) -> None:
    device = with_factor(ada)
    client = signed_in()
    for data in ({"token": code(device)}, {"codes": "1"}, {"remove": "1"}):
        assert client.post("/accounts/second-factor/setup/", data)["Location"] == "/accounts/second-factor/"
    assert TOTPDevice.objects.filter(user=ada).count() == 1


def test_s30_off_means_off(ada: User, settings: Any) -> None:
    settings.STAFF_2FA = "off"
    with_factor(ada)
    assert signed_in().get("/admin/").status_code == 200


def test_a_factor_is_removed_by_its_owner_with_a_code(ada: User) -> None:
    device = with_factor(ada)
    client = signed_in()
    client.post("/accounts/second-factor/", {"token": code(device)})
    assert client.post("/accounts/second-factor/setup/", {"remove": "1", "token": "000000"}).status_code == 400
    device.refresh_from_db()
    device.throttle_reset()
    client.post("/accounts/second-factor/setup/", {"remove": "1", "token": code(device, 1)})
    assert not TOTPDevice.objects.filter(user=ada, confirmed=True).exists()
    assert client.get("/admin/").status_code == 200


def test_staff_with_the_permission_remove_anothers(commit: Commit, ada: User, other: User) -> None:
    with_factor(other)
    client = Client()
    client.force_login(ada)
    with commit():
        data = {"confirm": "yes", "reason": "Lost the phone.", "email_kinds": "second_factor_changed"}
        client.post(f"/admin/accounts/user/{other.pk}/act/reset_factor/", data)
    assert not TOTPDevice.objects.filter(user=other).exists()
    assert (newest().kind, newest().state) == ("second_factor_changed", "queued")
    event = PersonEvent.objects.get(type="factor_removed")
    assert (event.person, event.actor, event.reason) == (other, ada, "Lost the phone.")
    with commit():
        grace = User.objects.create_user("grace", "grace@example.com", is_staff=True)
    assert refusal(grace, "reset_factor", other)


# Sessions and pages ---------------------------------------------------------------------------------------------------


def test_s31_a_session_gets_a_new_key_at_sign_in(ada: User) -> None:
    client = Client()
    client.get(LOGIN)
    client.session["x"] = 1
    fixed = client.session
    fixed.save()
    client.cookies["sessionid"] = str(fixed.session_key)
    client.post(LOGIN, {"username": "ada", "password": "secret"})
    assert client.cookies["sessionid"].value != fixed.session_key


def test_s31_a_new_password_ends_other_sessions(commit: Commit, ada: User) -> None:
    here, there = signed_in(), signed_in()
    new = {"old_password": "secret", "new_password1": "long and secret", "new_password2": "long and secret"}
    with commit():
        assert here.post("/accounts/password_change/", new).status_code == 302
    assert here.get("/accounts/").status_code == 200
    assert there.get("/accounts/").status_code == 302
    assert newest().kind == "password_changed"


def test_s31_a_session_that_was_left_is_dead(ada: User) -> None:
    client = signed_in()
    key = client.cookies["sessionid"].value
    client.post("/accounts/logout/")
    stolen = Client()
    stolen.cookies["sessionid"] = key
    assert stolen.get("/accounts/").status_code == 302
    assert ada.events.filter(type="signed_out").exists()


def test_s31_a_session_that_rests_ends_and_one_in_use_goes_on(ada: User, settings: Any, time_machine: Any) -> None:
    time_machine.move_to("2026-01-01T12:00:00Z")
    client = signed_in()
    for _ in range(3):
        time_machine.shift(40 * 60)
        assert client.get("/admin/").status_code == 200
    time_machine.shift(61 * 60)
    assert client.get("/admin/").status_code == 302


@pytest.mark.parametrize("there", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_s32_nobody_is_led_elsewhere(ada: User, there: str) -> None:
    for path in (LOGIN, "/admin/login/"):
        client = Client()
        response = client.post(path, {"username": "ada", "password": "secret", "next": there})
        assert response.status_code == 302
        assert "evil" not in response["Location"]
        assert "javascript" not in response["Location"]
    device = with_factor(ada)
    response = signed_in().post("/accounts/second-factor/", {"token": code(device), "next": there})
    assert response["Location"] == "/accounts/"


def test_scripts_are_ours_alone_on_every_page(ada: User, linus: User) -> None:
    client = Client()
    assert "script-src" not in client.get(LOGIN)["Content-Security-Policy"]  # default-src 'self' holds for scripts.
    client.force_login(ada)
    for path in ("/admin/", "/admin/accounts/user/", f"/admin/accounts/user/{linus.pk}/change/", "/accounts/", LOGIN):
        policy = client.get(path).headers.get("Content-Security-Policy", "")
        if policy:
            assert "default-src 'self'" in policy
            scripts = [part for part in policy.split(";") if part.strip().startswith(("default-src", "script-src"))]
            assert not any("unsafe" in part for part in scripts)


def test_a_link_with_a_token_is_not_told_to_other_pages(ada: User, client: Client) -> None:
    response = client.get("/accounts/reset/MQ/abc-0123456789abcdef0123456789abcdef/")
    assert response["Referrer-Policy"] == "same-origin"  # With "no-referrer" a browser's POST has no Origin: refused.
    assert "no-store" in response["Cache-Control"]
    assert client.get("/accounts/reset/zzzzzzzzzzzzzzzzzzzzzzzzzzzz/abc-012345/").status_code == 200


def test_a_bad_value_of_a_setting_is_explained() -> None:
    with pytest.raises(ImproperlyConfigured, match="STAFF_2FA is not valid: expected one of off, optional, required"):
        Env({"STAFF_2FA": "maybe"}).choice("STAFF_2FA", ["off", "optional", "required"], default="optional")
    with pytest.raises(ImproperlyConfigured, match="EMAIL_SECRET_PATTERNS is not valid"):
        Env({"EMAIL_SECRET_PATTERNS": '["no group"]'}).patterns("EMAIL_SECRET_PATTERNS")


def test_s28_nobody_and_somebody_cost_the_same_queries(linus: User) -> None:
    """The clock says so in `make bench`; here the work is counted, which no load on the machine changes."""
    done = []
    for address in ("linus@example.com", "nobody@example.com"):
        with CaptureQueriesContext(connection) as queries:
            Client().post("/accounts/password_reset/", {"email": address})
        done.append([query["sql"].partition(" ")[0] for query in queries])
    assert done[0] == done[1]
    assert "INSERT" in done[0]


def test_lifecycle_keeps_an_invitation_out_of_a_disabled_account(commit: Commit, linus: User) -> None:
    with commit():
        lifecycle.disable(linus, "x")
        lifecycle.withdraw(linus, "x")
    assert [event.type for event in linus.events.all()] == ["withdrawn", "disabled"]
