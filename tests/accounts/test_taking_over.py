"""What attackers found on the way to another's account, or past the policy: each as they would send it."""

import base64
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, connections, transaction
from django.test import Client
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts import batches, factors, lifecycle, links
from accounts.actions import ACTIONS, carry_out
from accounts.models import Batch, PersonEvent, RecoveryDevice, User
from backoffice.masking import MaskingReporter, masking_atoms
from emails import delivery
from emails.models import EmailLog
from tests.accounts.test_links import NEW, ask, everything_stored, set_password
from tests.accounts.test_policy import LIST, denied, permissions, staff_with
from tests.conftest import Commit
from tests.esp import LoopbackESP
from tests.log import newest

pytestmark = pytest.mark.django_db
CONFIRM = {"confirm": "yes", "reason": "x"}


def signed_in(username: str, password: str = "secret") -> Client:
    client = Client()
    assert client.post("/accounts/login/", {"username": username, "password": password}).status_code == 302
    return client


def code(device: Any, ahead: int = 0) -> str:
    return f"{totp(device.bin_key, drift=ahead):06d}"


def enrolled(person: User) -> tuple[Client, Any]:
    """A browser that is signed in with a second factor, and the device."""
    device = TOTPDevice.objects.create(user=person, name="x", confirmed=True)
    client = signed_in(person.username)
    assert client.post("/accounts/second-factor/", {"token": code(device)}).status_code == 302
    TOTPDevice.objects.update(last_t=-1)
    return client, device


# Passwords that are set while the account changes ---------------------------------------------------------------------


@pytest.fixture
def slow_hash(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]


MEANWHILE: dict[str, Callable[[User], Any]] = {
    "disabled": lambda person: lifecycle.disable(person, "x"),
    "demoted": lambda person: User.objects.filter(pk=person.pk).update(is_superuser=False),
    "signed out": lambda person: lifecycle.sign_out(person, "x"),
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", MEANWHILE)
@pytest.mark.parametrize("by", ["the old password", "a link"])
def test_a_password_in_the_making_undoes_nothing(
    esp: LoopbackESP, asleep: None, slow_hash: None, what: str, by: str
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    User.objects.create_superuser("root", "root@example.com")
    evil = User.objects.create_superuser("evil", "evil@example.com", "secret")
    client = signed_in("evil")
    if by == "a link":
        page = client.get(ask("password_reset", evil, esp)[0])["Location"]
    old = {"old_password": "secret"} if by == "the old password" else {}

    def change() -> None:
        client.post(page if by == "a link" else "/accounts/password_change/", {**old, **NEW})
        connections.close_all()

    before = User.objects.get(pk=evil.pk)
    thread = threading.Thread(target=change)
    thread.start()
    time.sleep(0.15)
    MEANWHILE[what](User.objects.get(pk=evil.pk))
    thread.join(20)
    after = User.objects.get(pk=evil.pk)
    assert after.is_active is (what != "disabled")
    assert after.is_superuser is (what != "demoted")
    if what in {"disabled", "signed out"}:
        assert after.session_epoch > before.session_epoch
        assert client.get("/accounts/").status_code == 302


def test_a_person_read_before_revives_no_session_and_no_invitation(commit: Commit, linus: User) -> None:
    client = signed_in("linus")
    stale = User.objects.get(pk=linus.pk)
    lifecycle.sign_out(User.objects.get(pk=linus.pk), "A stolen laptop.")
    stale.first_name = "Leo"
    stale.save()
    assert client.get("/accounts/").status_code == 302
    mei = User.objects.create_user("mei", "mei@example.com")
    lifecycle.invite(mei)
    stale = User.objects.get(pk=mei.pk)
    lifecycle.withdraw(mei, "A mistake.")
    stale.first_name = "Mei"
    stale.save()
    assert User.objects.get(pk=mei.pk).invited_at is None


@pytest.mark.django_db(transaction=True)
def test_staff_set_no_password_of_who_has_become_stronger_meanwhile(slow_hash: None, commit: Commit) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    staff = staff_with(commit, "grace", "view_user", "change_user")
    linus = User.objects.create_user("linus", "linus@example.com", "secret")
    client = Client()
    client.force_login(staff)
    asked = threading.Event()

    def change() -> None:
        asked.wait(5)
        client.post(
            f"/admin/accounts/user/{linus.pk}/password/", {"password1": "evil and long", "password2": "evil and long"}
        )
        connections.close_all()

    thread = threading.Thread(target=change)
    thread.start()
    with transaction.atomic():
        held = User.objects.select_for_update(no_key=True).get(pk=linus.pk)
        asked.set()
        time.sleep(0.5)  # The other one waits for the row, having been allowed at first.
        held.is_superuser = held.is_staff = True
        held.save()
    thread.join(20)
    linus.refresh_from_db()
    assert linus.is_superuser
    assert linus.check_password("secret")
    assert denied() == [("grace", "change")]


@pytest.mark.django_db(transaction=True)
def test_two_at_once_with_one_link_are_one(esp: LoopbackESP, asleep: None) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    mei = User.objects.create_user("mei", "mei@example.com")
    path, _token = ask("password_reset", mei, esp)
    clients = [Client(), Client()]
    pages = [client.get(path)["Location"] for client in clients]
    statuses: list[int] = []
    together = threading.Barrier(2)

    def post(number: int) -> None:
        together.wait(5)
        statuses.append(clients[number].post(pages[number], NEW).status_code)
        connections.close_all()

    threads = [threading.Thread(target=post, args=[number]) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(statuses) == [200, 302]
    assert mei.events.filter(type="reset_used").count() == 1


# Tokens of mailed links -----------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["invitation", "password_reset"])
def test_s15_a_link_that_was_opened_leaves_no_token_in_a_session(esp: LoopbackESP, asleep: None, kind: str) -> None:
    mei = User.objects.create_user("mei", "mei@example.com")
    path, token = ask(kind, mei, esp)
    assert Client().get(path).status_code == 302
    kept = [session.get_decoded() for session in Session.objects.all()]
    assert len(kept) == 1
    assert token.partition("-")[2] not in json.dumps(kept)
    raw = "".join(
        base64.b64decode(row.session_data.split(":")[0] + "==", altchars=b"-_").decode("latin-1")
        for row in Session.objects.all()
    )
    assert token.partition("-")[2] not in raw


@pytest.mark.django_db(transaction=True)
def test_s15_no_log_line_holds_a_token(esp: LoopbackESP, asleep: None, caplog: Any) -> None:
    mei = User.objects.create_user("mei", "mei@example.com")
    path, token = ask("password_reset", mei, esp)
    caplog.set_level(logging.DEBUG)
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(path, NEW).status_code == 403
    assert strict.get(f"{path}x").status_code == 404
    assert "/accounts/reset/" in caplog.text
    assert token not in caplog.text


def test_s15_neither_reports_of_errors_nor_the_access_log_hold_a_token() -> None:
    path = "/accounts/invitation/MQ/dimemg-af54af54af54af54/"
    request = Client().get("/healthz").wsgi_request
    request.path = request.path_info = request.META["PATH_INFO"] = path
    reporter = MaskingReporter(request, ValueError, ValueError(path), None)
    for text in (reporter.get_traceback_text(), reporter.get_traceback_html()):
        assert "/accounts/invitation/MQ/•••" in text
        assert "af54af54" not in text
    assert masking_atoms({"U": path, "s": "200", "D": 5}) == {"U": "/accounts/invitation/MQ/•••/", "s": "200", "D": 5}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("there", "back"),
    [({"email": "b@example.com"}, {"email": "mei@example.com"}), ({"is_active": False}, {"is_active": True})],
)
@pytest.mark.parametrize("how", ["saved", "updated"])
def test_s17_a_link_that_has_died_stays_dead(
    esp: LoopbackESP, asleep: None, client: Client, there: Any, back: Any, how: str
) -> None:
    mei = User.objects.create_user("mei", "mei@example.com")
    path, _token = ask("password_reset", mei, esp)
    for values in (there, back):
        if how == "updated":
            User.objects.filter(pk=mei.pk).update(**values)
        else:
            person = User.objects.get(pk=mei.pk)
            for name, value in values.items():
                setattr(person, name, value)
            person.save()
    assert not set_password(client, path)


def test_an_invitation_whose_link_is_dead_is_none(commit: Commit, ada: User, client: Client) -> None:
    with commit():
        mei = User.objects.create_user("mei", "mei@example.com")
    lifecycle.invite(mei)
    mei.refresh_from_db()
    mei.email = "other@example.com"
    with commit():
        mei.save()
    client.force_login(ada)
    page = client.get(f"{LIST}{mei.pk}/change/").content.decode()
    assert "Never signed in" in page
    assert "The account has changed since: invite again." in page


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["invitation", "password_reset"])
def test_what_would_arrive_expired_is_not_sent(esp: LoopbackESP, asleep: None, settings: Any, kind: str) -> None:
    mei = User.objects.create_user("mei", "mei@example.com")
    EmailLog.objects.all().delete()
    links.send(kind, mei)
    settings.PASSWORD_RESET_TIMEOUT = settings.INVITATION_TIMEOUT = -1
    delivery.drain(5)
    assert (newest().state, esp.accepted) == ("cancelled", [])


def test_who_sends_again_is_held_to_the_policy(commit: Commit, ada: User) -> None:
    auditor = staff_with(commit, "auditor", "view_emaillog", "resend_emaillog")
    email = links.send("password_reset", ada)
    EmailLog.objects.filter(pk=email.pk).update(state="cancelled")
    client = Client()
    client.force_login(auditor)
    client.post(f"/admin/emails/emaillog/{email.pk}/resend/", {"reason": "x"})
    assert EmailLog.objects.filter(kind="password_reset").count() == 1
    assert denied() == [("auditor", "reset_password")]


# The second factor ----------------------------------------------------------------------------------------------------


def test_a_key_that_another_session_has_seen_is_not_taken_into_use(commit: Commit, ada: User) -> None:
    thief, owner = signed_in("ada"), signed_in("ada")
    seen = thief.get("/accounts/second-factor/setup/").context["key"]
    shown = owner.get("/accounts/second-factor/setup/").context["key"]
    assert shown != seen
    assert owner.get("/accounts/second-factor/setup/").context["key"] == shown
    assert TOTPDevice.objects.count() == 1


def test_a_browser_that_was_left_open_takes_no_factor_away(commit: Commit, ada: User) -> None:
    client, device = enrolled(ada)
    RecoveryDevice(user=ada, name="Recovery codes").renew()
    assert client.post(f"{LIST}{ada.pk}/act/reset_factor/", CONFIRM).status_code == 403
    assert client.post("/accounts/second-factor/setup/", {"codes": "1"}).status_code == 400
    assert client.post("/accounts/second-factor/setup/", {"remove": "1", "token": "000000"}).status_code == 400
    assert factors.has_factor(ada)
    TOTPDevice.objects.update(throttling_failure_timestamp=None, throttling_failure_count=0)
    RecoveryDevice.objects.update(throttling_failure_timestamp=None, throttling_failure_count=0)
    with commit():
        response = client.post("/accounts/second-factor/setup/", {"codes": "1", "token": code(device)})
    assert len(response.context["codes"]) == 10
    assert ada.events.filter(type="codes_renewed").exists()
    assert (newest().kind, newest().state) == ("second_factor_changed", "queued")
    assert "recovery codes were made anew" in newest().subject


def test_ones_own_password_asks_for_the_old_one(ada: User, client: Client) -> None:
    client.force_login(ada)
    for posted in ({"usable_password": "false"}, {"password1": "new and long", "password2": "new and long"}):
        response = client.post(f"{LIST}{ada.pk}/password/", posted)
        assert (response.status_code, response["Location"]) == (302, "/accounts/password_change/")
    assert client.get("/admin/password_change/")["Location"] == "/accounts/password_change/"
    ada.refresh_from_db()
    assert ada.check_password("secret")


def test_guessing_the_old_password_ends_the_session(linus: User) -> None:
    client = signed_in("linus")
    statuses = [
        client.post("/accounts/password_change/", {"old_password": f"x{n}", **NEW}).status_code for n in range(12)
    ]
    assert statuses[0] == 200
    assert statuses[-1] in {302, 429}
    client.post("/accounts/password_change/", {"old_password": "secret", **NEW})
    linus.refresh_from_db()
    assert linus.check_password("secret")
    assert linus.events.filter(type="sign_in_failed").count() >= 9


def test_signed_in_is_who_has_proved_the_second_factor(ada: User) -> None:
    device = TOTPDevice.objects.create(user=ada, name="x", confirmed=True)
    client = signed_in("ada")
    assert not ada.events.filter(type="signed_in").exists()
    for _ in range(25):
        client.post("/accounts/second-factor/", {"token": "000000"})
    assert ada.events.filter(type="factor_failed").count() == 20
    TOTPDevice.objects.update(throttling_failure_timestamp=None, throttling_failure_count=0)
    before = client.session.session_key
    client.post("/accounts/second-factor/", {"token": code(device)})
    assert ada.events.filter(type="signed_in").count() == 1
    assert client.session.session_key != before


# Groups, and what is done to many -------------------------------------------------------------------------------------


@pytest.fixture
def keeper(commit: Commit) -> User:
    return staff_with(commit, "keeper", "view_group", "change_group", "delete_group", "view_user", "change_user")


def test_nobody_takes_power_from_stronger_members_or_themselves_by_a_group(
    commit: Commit, keeper: User, linus: User, client: Client
) -> None:
    group = Group.objects.create(name="Readers")
    group.permissions.set(permissions("view_user"))
    url = f"/admin/auth/group/{group.pk}"
    client.force_login(keeper)
    stronger = staff_with(commit, "stronger", "export_user")
    for member in (stronger, keeper):
        group.user_set.set([member])
        for path in ("change/", "delete/"):
            assert client.post(f"{url}/{path}", {"name": "Readers", "post": "yes"}).status_code == 403
        assert group.permissions.count() == 1
    group.user_set.set([linus])
    assert client.post(f"{url}/delete/", {"post": "yes"}).status_code == 302
    assert not Group.objects.exists()


def test_a_group_page_tells_how_many_it_is_told_to(commit: Commit, ada: User, linus: User, client: Client) -> None:
    group = Group.objects.create(name="Readers")
    linus.groups.add(group)
    client.force_login(ada)
    page = client.get(f"/admin/auth/group/{group.pk}/delete/").content.decode()
    assert "1 person is in this group, loses its permissions, and is told so by email." in page
    assert client.get("/admin/auth/group/", {"user__exact": linus.pk}).status_code in {302, 400}


@pytest.mark.parametrize("verb", ["delete", "export"])
def test_what_is_tried_on_many_leaves_a_trace_too(
    commit: Commit, ada: User, linus: User, client: Client, verb: str
) -> None:
    client.force_login(staff_with(commit, "grace", "view_user", "delete_user", "export_user"))
    chosen = {"action": verb, "_selected_action": [ada.pk, linus.pk], **CONFIRM, "format": "csv"}
    client.post(LIST, chosen)
    assert denied() == [("grace", verb)]
    assert PersonEvent.objects.get(type="denied").person == ada


def test_what_is_done_in_bulk_asks_again_whether_its_author_is_staff(commit: Commit, ada: User) -> None:
    with commit():
        people = [User.objects.create_user(f"p{n}", f"p{n}@example.com") for n in range(3)]
    grace = staff_with(commit, "grace", "change_user")
    batch = Batch(what="disable", actor_id=grace.pk, actor_label="grace", reason="x", options={})
    batch.begin([person.pk for person in people])
    User.objects.filter(pk=grace.pk).update(is_staff=False)
    batches.act(batch)
    assert User.objects.filter(is_active=False).count() == 0


# Throttling -----------------------------------------------------------------------------------------------------------


def test_s29_not_all_superusers_can_be_locked_out_from_elsewhere(ada: User) -> None:
    User.objects.create_superuser("other", "other@example.com", "secret")

    def attack(username: str) -> None:
        for n in range(12):
            Client(REMOTE_ADDR=f"10.0.{n}.1").post("/accounts/login/", {"username": username, "password": "wrong"})

    def gets_in(username: str) -> bool:
        data = {"username": username, "password": "secret"}
        return Client(REMOTE_ADDR="192.0.2.1").post("/accounts/login/", data).status_code == 302

    attack("ada")
    assert not gets_in("ada")
    assert gets_in("other")
    attack("other")
    assert gets_in("other")


@pytest.mark.parametrize(
    ("header", "address"),
    [
        ("192.0.2.7:4711", "192.0.2.7"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("rubbish", "127.0.0.1"),
    ],
)
def test_s29_a_proxy_may_write_a_port(linus: User, settings: Any, header: str, address: str) -> None:
    settings.BEHIND_PROXY = True
    data = {"username": "linus", "password": "secret"}
    assert Client(headers={"x-forwarded-for": header}).post("/accounts/login/", data).status_code == 302
    assert linus.events.get(type="signed_in").detail["address"] == address


def test_a_password_typed_as_a_username_is_kept_nowhere(linus: User) -> None:
    for username in ("hunter2 hunter2", "x" * 400):
        data = {"username": username, "password": "x"}
        assert Client().post("/accounts/login/", data).status_code == 200
    with connection.cursor() as cursor:
        cursor.execute("SELECT username FROM axes_accessattempt")
        kept = [username for (username,) in cursor.fetchall()]
    assert kept
    assert all(username.startswith("~") and len(username) < 40 for username in kept)


def test_a_locked_network_address_is_shown_and_unlocked(ada: User, linus: User, commit: Commit) -> None:
    for n in range(12):
        Client(REMOTE_ADDR="10.0.0.9").post("/accounts/login/", {"username": f"nobody{n}", "password": "x"})
    attempt = {"username": "linus", "password": "secret"}
    assert Client(REMOTE_ADDR="10.0.0.9").post("/accounts/login/", attempt).status_code == 429
    client = Client()
    client.force_login(ada)
    assert "10.0.0.9" in client.get("/admin/accounts/personevent/").content.decode()
    reader = Client()
    reader.force_login(staff_with(commit, "reader", "view_personevent"))
    url = "/admin/accounts/personevent/unlock/"
    assert reader.post(url, {"address": "10.0.0.9"}).status_code == 403
    assert client.post(url, {"address": "10.0.0.9"}).status_code == 302
    assert Client(REMOTE_ADDR="10.0.0.9").post("/accounts/login/", attempt).status_code == 302


# Odd values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["abc", "9" * 25, "\x00"])
def test_odd_values_are_no_error_of_ours(ada: User, client: Client, key: str) -> None:
    client.force_login(ada)
    for path in (LIST, "/admin/emails/emaillog/"):
        assert client.post(path, {"action": "disable", "_selected_action": [key]}).status_code < 500
    assert client.post("/admin/auth/group/add/", {"name": "x", "permissions": [key]}).status_code < 500
    for query in ({"group": key}, {"q": key}, {"state": key}, {"p": key}):
        assert client.get(LIST, query).status_code < 500
    assert client.get("/admin/accounts/personevent/", {"type": key}).status_code < 500
    assert client.get(f"{LIST}{ada.pk}/history/", {"before": key}).status_code < 500


# Personal data --------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_anonymised_is_whatever_was_kept_of_the_person(ada: User, esp: LoopbackESP, asleep: None) -> None:
    zofia = User.objects.create_user("zofia", "zofia@example.com", "secret", first_name="Zofia", is_staff=True)
    message = mail.EmailMessage("Dear Zofia", "Zofia!", None, ["Zofia <zofia@example.com>"])
    message.attach("zofia.txt", "Zofia", "text/plain")
    message.send()
    client = Client()
    client.force_login(User.objects.get(pk=ada.pk))
    zofia.first_name = "Zosia"
    zofia.save()
    client.post("/accounts/password_reset/", {"email": "zofia@example.com"})
    upload = "username,email\nzofia,zofia@example.com\nmei,mei@example.com"
    client.post(f"{LIST}import/", {"file": SimpleUploadedFile("people.csv", upload.encode())})
    export = {"action": "export", "_selected_action": [ada.pk, zofia.pk], **CONFIRM, "format": "csv"}
    client.post(f"{LIST}?q=zofia%40example.com", export)
    batches.take_slice()
    lifecycle.anonymise(User.objects.get(pk=zofia.pk), "She asked.")
    kept = everything_stored().lower()
    assert "zofia" not in kept
    assert "zosia" not in kept
    assert EmailLog.objects.filter(user=None, subject="•••").exists()


@pytest.mark.django_db(transaction=True)
def test_anonymising_and_an_import_of_the_same_person_wait_for_each_other(ada: User) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    zofia = User.objects.create_user("zofia", "zofia@example.com")
    batch = Batch(what="import", state=Batch.State.RUNNING, actor_id=ada.pk, actor_label="ada", options={})
    batch.begin([{"username": "zofia", "email": "ZOFIA@example.com", "#": "2", "!": ""}])
    holds = threading.Event()

    def worker() -> None:  # As a slice does: its batch first, then the people of its rows.
        with transaction.atomic():
            Batch.objects.select_for_update().get(pk=batch.pk)
            holds.set()
            time.sleep(0.5)
            User.objects.select_for_update(no_key=True).get(pk=zofia.pk)
        connections.close_all()

    thread = threading.Thread(target=worker)
    thread.start()
    holds.wait(5)
    assert carry_out(ACTIONS["anonymise"], ada, zofia, "She asked.") == ""
    thread.join(20)
    zofia.refresh_from_db()
    assert zofia.anonymised_at is not None
    (part,) = batch.slices.all()
    assert "zofia" not in str(part.items).lower()
