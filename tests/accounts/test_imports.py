"""What an upload comes to is told to the last cell, no file is read further than allowed, and no hiccup loses a row."""

import io
import re
import zipfile
from typing import Any

import openpyxl
import pytest
from django.contrib.auth.models import Group, Permission
from django.db import OperationalError
from django.test import Client

from accounts import batches, importing, spreadsheets
from accounts.models import Batch, PersonEvent, User
from accounts.resources import PersonResource
from emails.models import EmailLog, Suppression
from tests.accounts.test_files import HEADERS, LIST, root, staff, upload, work

pytestmark = pytest.mark.django_db(transaction=True)
__all__ = ["root", "staff"]  # Fixtures.


@pytest.mark.parametrize("word", ["TRUE", "yes", "Ja", "WAHR", "x", "1"])
def test_yes_is_yes_in_whatever_way_it_is_written(staff: Client, word: str) -> None:
    User.objects.create_user("mei", "mei@example.com", is_active=False)
    upload(staff, f"username,is_active\nmei,{word}")
    assert work().options["changed"] == [["2", "mei", "is_active: False → True"]]


def test_what_is_neither_yes_nor_no_disables_nobody(staff: Client) -> None:
    User.objects.create_user("mei", "mei@example.com")
    upload(staff, "username,is_active\nmei,maybe")
    batch = work()
    assert (batch.counts, batch.problems) == (
        {"invalid": 1},
        [["2", "is_active: “maybe” is neither yes nor no: write true or false."]],
    )


def test_new_people_are_shown_with_all_that_they_get(staff: Client) -> None:
    Group.objects.create(name="Editors")
    upload(staff, f"{HEADERS},is_active\nmei,mei@example.com,Mei,,de,1,Editors,0")
    page = staff.get(work().get_absolute_url()).content.decode()
    assert "first_name: Mei, language: de, is_active: 0, is_staff: 1, groups: Editors" in page


def test_groups_are_shown_before_and_after_and_an_empty_cell_leaves_them(staff: Client, root: User) -> None:
    editors, readers = (Group.objects.create(name=name) for name in ("Editors", "Readers"))
    for name in ("mei", "lena", "zofia"):
        User.objects.create_user(name, f"{name}@example.com", first_name=name).groups.add(editors)
    rows = ["mei,Mo,Editors|Readers", "lena,lena,", "zofia,zofia,-", "root,,Editors"]
    upload(staff, "\n".join(["username,first_name,groups", *rows]))
    batch = work()
    assert batch.options["changed"] == [
        ["2", "mei", "first_name: mei → Mo, groups: Editors → Editors, Readers"],
        ["4", "zofia", "groups: Editors → –"],
    ]
    assert batch.counts == {"changed": 2, "unchanged": 2}
    staff.post(batch.get_absolute_url(), {})
    work()
    held = {person.username: [group.name for group in person.groups.order_by("name")] for person in User.objects.all()}
    assert held == {"mei": ["Editors", "Readers"], "lena": ["Editors"], "zofia": [], "root": []}
    assert readers.user_set.count() == 1


def test_which_emails_it_leads_to_is_counted_before(staff: Client) -> None:
    User.objects.create_user("old", "old@example.com")
    Suppression.objects.create(address="mei@example.com", reason="bounced")
    EmailLog.objects.all().delete()
    upload(staff, "username,email,first_name\nmei,mei@example.com,\nlena,lena@example.com,\nold,old@example.com,Older")
    batch = work()
    counted = {key: number for key, number in batch.options["mails"].items() if "suppressed" not in key}
    assert counted.pop("welcome") == 1
    assert counted.pop("update_notice") == 1
    assert not EmailLog.objects.exists()
    page = staff.get(batch.get_absolute_url()).content.decode()
    assert "1 × Welcome" in page
    assert "1 × Update notice" in page
    assert "Deactivated" not in page
    assert "Not sent: 1 ×" in re.sub(r"\s+", " ", page)


def test_who_is_not_active_is_not_invited_and_who_may_not_invite_any_more_invites_nobody(
    staff: Client, root: User
) -> None:
    upload(staff, "username,email,is_active\nmei,mei@example.com,0\nlena,lena@example.com,1")
    staff.post(work().get_absolute_url(), {"invite": "1"})
    work()
    assert set(EmailLog.objects.filter(kind="invitation").values_list("user_label", flat=True)) == {"lena"}
    grace = User.objects.create_user("grace", "grace@example.com", is_staff=True)
    codes = ["view_user", "add_user", "change_user", "invite_user"]
    grace.user_permissions.set(Permission.objects.filter(codename__in=codes))
    client = Client()
    client.force_login(grace)
    upload(client, "username,email\nzofia,zofia@example.com")
    client.post(work().get_absolute_url(), {"invite": "1"})
    grace.user_permissions.remove(Permission.objects.get(codename="invite_user"))
    work()
    assert User.objects.filter(username="zofia").exists()
    assert not EmailLog.objects.filter(kind="invitation", user_label="zofia").exists()


def test_mistakes_are_told_in_the_language_of_who_brought_them(staff: Client, root: User) -> None:
    User.objects.filter(pk=root.pk).update(language="de")
    upload(staff, "username,email\nmei,no-address")
    assert "gültige E-Mail-Adresse" in work().problems[0][1]


def test_rows_that_are_passed_over_stand_in_order(staff: Client) -> None:
    bad = "\n".join(f"p{n},no-address" for n in range(12))
    upload(staff, f"username,email\n{bad}")
    page = staff.get(work().get_absolute_url()).content.decode()
    numbers = [int(number) for number in re.findall(r"Row (\d+):", page)]
    assert numbers == sorted(numbers)
    assert len(numbers) == 12


def test_a_file_is_discarded(staff: Client) -> None:
    upload(staff, f"{HEADERS}\nmei,mei@example.com,,,en,,")
    batch = work()
    listed = staff.get(f"{LIST}batches/").content.decode()
    assert batch.get_absolute_url() in listed
    assert staff.post(batch.get_absolute_url(), {"discard": "1"}).status_code == 302
    batch.refresh_from_db()
    assert (batch.state, batch.options, batch.slices.count()) == ("discarded", {}, 0)
    staff.post(batch.get_absolute_url(), {})
    assert work().state == "discarded"
    assert not User.objects.filter(username="mei").exists()


def test_others_see_neither_the_list_nor_the_file(staff: Client) -> None:
    upload(staff, f"{HEADERS}\nmei,mei@example.com,,,en,,")
    batch = work()
    grace = User.objects.create_user("grace", "grace@example.com", is_staff=True)
    client = Client()
    client.force_login(grace)
    assert client.get(f"{LIST}batches/").status_code == 403
    grace.user_permissions.set(Permission.objects.filter(codename="view_user"))
    assert batch.get_absolute_url() not in client.get(f"{LIST}batches/").content.decode()
    assert client.get(batch.get_absolute_url()).status_code == 404


def test_a_database_that_was_away_costs_nothing_but_time(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    upload(staff, "username,email\n" + "\n".join(f"p{n},p{n}@example.com" for n in range(60)))
    batch = work()
    staff.post(batch.get_absolute_url(), {})
    whole, calls = importing.bring_in, []

    def flaky(*args: Any, **kwargs: Any) -> None:
        calls.append(1)
        whole(*args, **kwargs)
        if len(calls) == 2:
            raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(importing, "bring_in", flaky)
    assert batches.take_slice()
    with pytest.raises(OperationalError):
        batches.take_slice()
    assert work().counts == {"new": 60}
    assert User.objects.count() == 61


def test_what_can_not_go_on_says_how_far_it_came(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    upload(staff, "username,email\n" + "\n".join(f"p{n},p{n}@example.com" for n in range(40)))
    batch = work()
    staff.post(batch.get_absolute_url(), {})
    assert batches.take_slice()

    def broken(*args: Any, **kwargs: Any) -> None:
        raise LookupError("quoting a row")

    monkeypatch.setattr(importing, "bring_in", broken)
    batch = work()
    assert (batch.state, batch.done) == ("failed", 20)
    assert batch.problems == [["", "Stopped after 20 of 40 by LookupError: nothing was done to the rest."]]


def test_a_broker_that_is_gone_is_no_error_page(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("redis://user:password@broker")

    monkeypatch.setattr(type(batches.work), "enqueue", gone)
    assert upload(staff, f"{HEADERS}\nmei,mei@example.com,,,en,,").status_code == 302
    assert work().state == "ready"  # The sweeper would have it done.
    response = Client().post("/accounts/password_reset/", {"email": "root@example.com"})
    assert response.status_code == 200
    assert "try again in a few minutes" in response.content.decode()


# No further than allowed ---------------------------------------------------------------------------------------------


SHEET = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>%s</sheetData></worksheet>'
SHARED = b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>username</t></si>%s</sst>'

STRINGS_TYPE = (
    b'<Override PartName="/xl/sharedStrings.xml" '
    b'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml" />'
)


def packed(sheet: bytes, strings: bytes = b"") -> bytes:
    """An XLSX file around one sheet as XML."""
    book = openpyxl.Workbook()
    book.active["A1"] = "username"
    plain = io.BytesIO()
    book.save(plain)
    made = io.BytesIO()
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = sheet if name == "xl/worksheets/sheet1.xml" else old.read(name)
            new.writestr(name, content.replace(b"</Types>", STRINGS_TYPE + b"</Types>"))
        new.writestr("xl/sharedStrings.xml", SHARED % strings)
    return made.getvalue()


def row(number: int, cells: bytes) -> bytes:
    return b'<row r="%d">%s</row>' % (number, cells)


HEAD = row(1, b'<c r="A1" t="s"><v>0</v></c>')


def test_one_long_text_in_all_cells_is_cut_and_not_copied() -> None:
    cells = b"".join(row(n, b'<c r="A%d" t="s"><v>1</v></c>' % n) for n in range(2, 2002))
    long = b"<si><t>%s</t></si>" % (b"x" * 5_000_000)
    rows = spreadsheets.read("a.xlsx", packed(SHEET % (HEAD + cells), long))
    assert {len(row["username"]) for row in rows} == {1000}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (packed(SHEET % (HEAD + row(1_048_576, b'<c r="A1048576" t="s"><v>0</v></c>'))), "more than 20000 rows"),
        (packed(SHEET % (HEAD + row(2, b'<c r="J2" t="s"><v>0</v></c>'))), "Row 2 has more cells"),
        (packed(SHEET % (HEAD + b" " * 70_000_000)), "larger than 10 MB"),
        (b"PK\x03\x04 and nothing more", "can’t be read"),
    ],
    ids=["a row far below", "a cell far right", "a bomb", "no archive"],
)
def test_a_file_that_is_more_than_it_seems_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(spreadsheets.Unreadable, match=says.replace("’", ".")):
        spreadsheets.read("a.xlsx", content)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_what_excel_writes_in_germany_is_read(encoding: str) -> None:
    text = "username;first_name\r\njörg;Jörg\r\n".encode(encoding)
    assert spreadsheets.read("a.csv", text) == [{"username": "jörg", "first_name": "Jörg", "#": "2"}]


# Out -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a;=1+2", "＝1+1", ' "=1+1', "a,@x", "tab\t-1"])
def test_s40_no_separator_and_no_other_sign_makes_a_formula(root: User, name: str) -> None:
    person = User(username="x", first_name=name)
    resource = PersonResource()
    cell = resource.export_field(resource.fields["first_name"], person)
    for start in re.split(r"[;,\t|]", cell):
        assert not re.match(r"[\s\"']*[=+\-@＝]", start) or "'" in re.match(r"[\s\"']*", start).group()  # type: ignore[union-attr]
    changed = {"first_name": cell, "username": "x"}
    PersonResource(root).before_import_row(changed)
    assert changed["first_name"] == name.strip()


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_control_character_breaks_no_export(staff: Client, root: User, kind: str) -> None:
    User.objects.bulk_create([User(username="mei", first_name="Bo\x0bb")])
    chosen = {"action": "export", "_selected_action": list(User.objects.values_list("pk", flat=True)), "confirm": "yes"}
    assert staff.post(LIST, {**chosen, "format": kind}).status_code == 200
    add = {"username": "bob", "email": "bob@example.com", "language": "en", "first_name": "Bo\x0bb"}
    assert "A name has no control characters." in staff.post(f"{LIST}add/", add).content.decode()


def test_an_export_tells_by_what_it_was_filtered_and_not_for_whom(staff: Client) -> None:
    chosen = {"action": "export", "select_across": "1", "_selected_action": [1], "confirm": "yes", "format": "csv"}
    staff.post(f"{LIST}?q=root&role=superuser", chosen)
    assert PersonEvent.objects.get(type="exported").detail["filter"] == "role=superuser"
    assert Batch.objects.count() == 0
