"""People in and out as files: looked at before anything is saved, held to the policy, safe in a spreadsheet."""

import io
from typing import Any

import pytest
import tablib
from django.contrib.auth.models import Group, Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts import batches, spreadsheets
from accounts.models import Batch, PersonEvent, User
from emails.models import EmailLog
from tests.conftest import Commit

pytestmark = pytest.mark.django_db(transaction=True)
LIST = "/admin/accounts/user/"
HEADERS = "username,email,first_name,last_name,language,is_staff,groups"


@pytest.fixture
def root(asleep: None) -> User:
    return User.objects.create_superuser("root", "root@example.com")


@pytest.fixture
def staff(root: User, client: Client) -> Client:
    client.force_login(root)
    return client


def upload(client: Client, text: str | bytes, name: str = "people.csv") -> Any:
    content = text.encode() if isinstance(text, str) else text
    return client.post(f"{LIST}import/", {"file": SimpleUploadedFile(name, content)})


def work() -> Batch:
    while batches.take_slice():
        pass
    return Batch.objects.latest("id")


def test_a_file_is_checked_looked_at_and_saved(staff: Client) -> None:
    Group.objects.create(name="Editors")
    linus = User.objects.create_user("linus", "linus@example.com", first_name="Linus")
    User.objects.create_user("same", "same@example.com", language="en")
    EmailLog.objects.all().delete()
    rows = [
        "linus,leo@example.com,Leo,,en,,",
        "mei,mei@example.com,Mei,Tanaka,de,1,Editors",
        "same,same@example.com,,,en,,",
        "bad,not-an-address,,,en,,",
        "nomail,,,,en,,",
        "mei,other@example.com,,,en,,",
        "LINUS,x@example.com,,,en,,",
        "grp,grp@example.com,,,en,,Unknown",
        "lang,lang@example.com,,,xx,,",
    ]
    response = upload(staff, "\n".join([HEADERS, *rows]))
    batch = work()
    assert response["Location"] == batch.get_absolute_url()
    assert (batch.state, batch.counts) == ("ready", {"changed": 1, "new": 1, "unchanged": 1, "invalid": 6})
    assert User.objects.count() == 3
    assert not EmailLog.objects.exists()
    page = staff.get(batch.get_absolute_url()).content.decode()
    assert "first_name: Linus → Leo" in page
    assert "mei@example.com" in page
    assert "The same username stands in row 3." in page
    assert "Enter a valid email address." in page
    assert "give this group: Unknown" in page, batch.problems

    assert staff.post(batch.get_absolute_url(), {"email_kinds": ["update_notice"]}).status_code == 302
    batch = work()
    assert (batch.state, batch.counts) == ("finished", {"changed": 1, "new": 1, "unchanged": 1, "invalid": 6})
    linus.refresh_from_db()
    mei = User.objects.get(username="mei")
    assert (linus.email, linus.first_name, linus.is_active) == ("leo@example.com", "Leo", True)
    assert (mei.language, mei.is_staff, mei.has_usable_password()) == ("de", True, False)
    assert [group.name for group in mei.groups.all()] == ["Editors"]
    told = {(email.user_label, email.kind, email.state) for email in EmailLog.objects.all()}
    assert ("Mei Tanaka (mei)", "welcome", "skipped") in told
    assert ("Leo (linus)", "email_changed", "queued") in told
    assert not EmailLog.objects.filter(kind="invitation").exists()
    assert not batch.slices.exists()
    assert "leo@example.com" not in str(batch.options)
    assert PersonEvent.objects.get(type="imported").actor_label == "root"
    assert staff.post(batch.get_absolute_url(), {}).status_code == 302
    assert work().state == "finished"  # Once is once.


def test_invitations_go_out_where_they_are_ticked(staff: Client) -> None:
    upload(staff, f"{HEADERS}\nmei,mei@example.com,,,en,,")
    batch = work()
    staff.post(batch.get_absolute_url(), {"invite": "1"})
    work()
    states = dict(EmailLog.objects.filter(user__username="mei").values_list("kind", "state"))
    assert states == {"welcome": "skipped", "invitation": "queued"}


def test_xlsx_and_semicolons_are_read_too(staff: Client) -> None:
    table = tablib.Dataset(
        ["mei", "mei@example.com", None, 7], headers=["Username", "Email", "first_name", "last_name"]
    )
    upload(staff, table.export("xlsx"), "people.xlsx")
    assert work().counts == {"new": 1}
    upload(staff, "\ufeffusername;email\nlena;lena@example.com\n")
    assert work().counts == {"new": 1}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("username,password\nmei,secret", "People have no column “password”"),
        ("username,email,email\nmei,a@example.com,a@example.com", "Two columns have the same name"),
        ("username,email\n", "nobody in the file"),
        ("username,email\nmei,a@example.com,,,,,,,more", "Row 2 has more cells"),
        ("email\nmei@example.com", "has to name columns"),
        ("", "has to name columns"),
        (b"\xff\xfe\x00", "can&#x27;t be read"),
        ("username\n" + "x\n" * 20_001, "more than 20000 rows"),
    ],
)
def test_what_can_not_be_read_is_explained(staff: Client, content: Any, says: str) -> None:
    response = upload(staff, content)
    assert response.status_code == 400
    assert says in response.content.decode()
    assert not Batch.objects.exists()


def test_a_file_that_is_no_xlsx_is_explained(staff: Client) -> None:
    assert upload(staff, "username\nmei", "people.xlsx").status_code == 400


def test_an_import_raises_nobody_above_its_author(root: User, client: Client) -> None:
    grace = User.objects.create_user("grace", "grace@example.com", is_staff=True)
    grace.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "add_user", "change_user"]))
    strong = Group.objects.create(name="Strong")
    strong.permissions.set(Permission.objects.filter(codename="view_session"))
    other = User.objects.create_user("other", "other@example.com")
    client.force_login(grace)
    rows = [
        "root,taken@evil.example,,,en,,",
        "grace,grace@example.com,,,en,0,",
        "grace2,g2@example.com,,,en,1,Strong",
        "other,other@example.com,,,en,1,",
    ]
    upload(client, "\n".join([HEADERS, *rows]))
    batch = work()
    assert batch.counts == {"invalid": 3, "changed": 1}
    client.post(batch.get_absolute_url(), {})
    work()
    root.refresh_from_db()
    grace.refresh_from_db()
    other.refresh_from_db()
    assert (root.email, grace.is_staff, other.is_staff) == ("root@example.com", True, True)
    assert not User.objects.filter(username="grace2").exists()
    assert client.get(f"{LIST}batches/{batch.pk}/").status_code == 200
    client.force_login(User.objects.create_user("nosy", "nosy@example.com", is_staff=True))
    assert client.get(f"{LIST}batches/{batch.pk}/").status_code == 404
    assert client.get(f"{LIST}import/").status_code == 403


def test_the_last_superuser_can_not_be_disabled_by_a_file(staff: Client, root: User) -> None:
    upload(staff, "username,is_active\nroot,0")
    assert work().counts == {"invalid": 1}


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "=1+1|cmd"])
def test_s40_an_export_is_no_formula(staff: Client, kind: str, name: str) -> None:
    User.objects.create_user("mei", "mei@example.com", first_name=name, last_name='"=1')
    chosen = {"action": "export", "_selected_action": list(User.objects.values_list("pk", flat=True)), "confirm": "yes"}
    response = staff.post(LIST, {**chosen, "format": kind})
    content = response.content
    table = tablib.Dataset().load(io.BytesIO(content) if kind == "xlsx" else content.decode("utf-8-sig"), kind)
    rows = {row["username"]: row for row in table.dict}
    assert rows["mei"]["first_name"] == f"'{name}"
    assert "password" not in table.headers
    assert not any("md5" in str(value) for row in table for value in row)
    event = PersonEvent.objects.get(type="exported")
    assert (event.actor_label, event.detail["count"]) == ("root", 2)


def test_an_export_can_be_imported_again(staff: Client) -> None:
    User.objects.create_user("mei", "mei@example.com", first_name="=Mei")
    chosen = {"action": "export", "_selected_action": list(User.objects.values_list("pk", flat=True)), "confirm": "yes"}
    upload(staff, staff.post(LIST, {**chosen, "format": "csv"}).content)
    assert work().counts == {"unchanged": 2}


def test_s40_exporting_needs_its_own_permission_and_leaves_out_who_is_stronger(root: User, client: Client) -> None:
    grace = User.objects.create_user("grace", "grace@example.com", is_staff=True)
    grace.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "change_user"]))
    client.force_login(grace)
    chosen = {"action": "export", "_selected_action": [root.pk, grace.pk], "confirm": "yes", "format": "csv"}
    assert client.post(LIST, chosen).status_code == 302  # No such action.
    assert not PersonEvent.objects.filter(type="exported").exists()
    grace.user_permissions.add(Permission.objects.get(codename="export_user"))
    text = client.post(LIST, chosen).content.decode()
    assert "grace" in text
    assert "root" not in text


def test_a_file_that_nobody_confirms_is_forgotten(staff: Client, time_machine: Any) -> None:
    upload(staff, f"{HEADERS}\nmei,mei@example.com,,,en,,")
    assert work().state == "ready"
    time_machine.move_to("2100-01-01")
    batches.wake_stalled()
    batch = Batch.objects.get()
    assert (batch.state, batch.options, batch.slices.count()) == ("failed", {}, 0)


def test_importing_reads_what_excel_writes() -> None:
    rows = spreadsheets.read("a.csv", b"username,email\r\n\r\nmei,m@example.com\r\n")
    assert rows == [{"username": "mei", "email": "m@example.com", "#": "3"}]


def test_a_row_that_the_database_refuses_costs_its_row_alone(
    staff: Client, commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(staff, f"{HEADERS}\nmei,mei@example.com,,,en,,\nlena,lena@example.com,,,en,,")
    batch = work()
    User.objects.bulk_create([User(username="x", email="MEI@example.com")])  # Since it was checked.
    staff.post(batch.get_absolute_url(), {})
    assert work().counts == {"new": 1, "invalid": 1}
    assert User.objects.filter(username="lena").exists()
