"""What staff try to do beyond their powers, as an attacker would send it: refused, traced, without effect."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client

from accounts.models import PersonEvent, User
from tests.conftest import Commit

pytestmark = pytest.mark.django_db
LIST = "/admin/accounts/user/"


def permissions(*codenames: str) -> Any:
    return Permission.objects.filter(codename__in=codenames)


def staff_with(commit: Commit, username: str, *codenames: str) -> User:
    with commit():
        person = User.objects.create_user(username, f"{username}@example.com", "secret", is_staff=True)
        person.user_permissions.set(permissions(*codenames))
    return person


@pytest.fixture
def grace(commit: Commit) -> User:
    """Staff who manage people, and no more."""
    return staff_with(
        commit,
        "grace",
        *("view_user", "add_user", "change_user", "delete_user", "invite_user", "anonymise_user", "export_user"),
        "reset_second_factor",
    )


@pytest.fixture
def manager(grace: User, client: Client) -> Client:
    client.force_login(grace)
    return client


def form_of(person: User, **differences: Any) -> dict[str, Any]:
    data = {name: getattr(person, name) for name in ("username", "first_name", "last_name", "email", "language")}
    return {**data, "is_active": "on", **differences}


def snapshot(person: User) -> tuple[Any, ...]:
    person = User.objects.get(pk=person.pk)
    held = sorted(person.get_all_permissions()), sorted(person.groups.values_list("name", flat=True))
    return (person.password, person.email, person.is_active, person.is_staff, person.is_superuser, *held)


def denied() -> list[tuple[str, str]]:
    events = PersonEvent.objects.filter(type="denied").order_by("id")
    return [(event.actor_label, event.detail["verb"]) for event in events]


def test_s9_staff_do_not_raise_themselves(manager: Client, grace: User) -> None:
    admins = Group.objects.create(name="Admins")
    admins.permissions.set(Permission.objects.all())
    before = snapshot(grace)
    everything = [str(pk) for pk in Permission.objects.values_list("pk", flat=True)]
    data = form_of(grace, is_staff="on", is_superuser="on", user_permissions=everything, groups=[admins.pk])
    response = manager.post(f"{LIST}{grace.pk}/change/", data)
    assert response.status_code == 302
    assert snapshot(grace) == before
    assert denied() == [("grace", "grant")]


@pytest.mark.parametrize("target", ["superuser", "stronger"])
@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("{pk}/password/", {"password1": "long and secret", "password2": "long and secret", "usable_password": "true"}),
        ("{pk}/change/", {"email": "grace@evil.example"}),
        ("{pk}/change/", {"is_active": ""}),
        ("{pk}/delete/", {"post": "yes"}),
        ("{pk}/act/disable/", {"confirm": "yes", "reason": "x"}),
        ("{pk}/act/reset_password/", {"confirm": "yes"}),
        ("{pk}/act/anonymise/", {"confirm": "yes", "reason": "x"}),
        ("{pk}/act/sign_out/", {"confirm": "yes", "reason": "x"}),
        ("{pk}/act/reset_factor/", {"confirm": "yes", "reason": "x"}),
        ("{pk}/act/delete/", {"confirm": "yes", "reason": "x"}),
    ],
)
def test_s10_nobody_touches_who_is_stronger(
    commit: Commit, manager: Client, ada: User, target: str, path: str, data: dict[str, str]
) -> None:
    person = ada if target == "superuser" else staff_with(commit, "strong", "change_user", "view_session")
    before = snapshot(person)
    posted = {**form_of(person), **data} if "change" in path else data
    response = manager.post(LIST + path.format(pk=person.pk), posted)
    assert response.status_code == 403
    assert snapshot(person) == before
    assert len(denied()) == 1


@pytest.mark.parametrize("verb", ["disable", "delete", "anonymise", "reset_password", "invite", "sign_out"])
def test_s10_bulk_actions_pass_over_who_is_stronger(manager: Client, ada: User, linus: User, verb: str) -> None:
    before = snapshot(ada)
    chosen = {"action": verb, "_selected_action": [ada.pk], "confirm": "yes", "reason": "x", "select_across": "0"}
    response = manager.post(LIST, chosen)
    assert response.status_code == 200
    assert response.context["ahead"].count == 0
    assert snapshot(ada) == before


def test_s11_nobody_grants_what_they_lack(commit: Commit, manager: Client, linus: User) -> None:
    editors = Group.objects.create(name="Editors")
    editors.permissions.set(permissions("view_session"))
    before = snapshot(linus)
    for beyond in ({"groups": [editors.pk]}, {"user_permissions": [permissions("view_session")[0].pk]}):
        response = manager.post(f"{LIST}{linus.pk}/change/", form_of(linus, **beyond))
        assert response.status_code == 200
        assert "Select a valid choice" in response.content.decode()
    assert snapshot(linus) == before
    assert denied() == [("grace", "grant")] * 2
    own = permissions("change_user")[0]
    assert manager.post(f"{LIST}{linus.pk}/change/", form_of(linus, user_permissions=[own.pk])).status_code == 302
    assert User.objects.get(pk=linus.pk).has_perm("accounts.change_user")


def test_s11_a_new_person_gets_no_more_than_its_maker_has(manager: Client) -> None:
    group = Group.objects.create(name="Editors")
    group.permissions.set(permissions("view_session"))
    data = {"username": "mei", "email": "mei@example.com", "language": "en", "is_superuser": "on", "groups": [group.pk]}
    assert manager.post(f"{LIST}add/", data).status_code == 200
    assert not User.objects.filter(username="mei").exists()
    del data["groups"]
    assert manager.post(f"{LIST}add/", data).status_code == 302
    assert not User.objects.get(username="mei").is_superuser
    assert denied() == [("grace", "grant"), ("grace", "grant")]


def test_s11_nobody_strengthens_the_own_group(commit: Commit, client: Client) -> None:
    grp = staff_with(commit, "grp")
    group = Group.objects.create(name="Group admins")
    group.permissions.set(permissions("change_group", "view_group"))
    grp.groups.add(group)
    client.force_login(grp)
    assert client.post(f"/admin/auth/group/{group.pk}/change/", {"name": "Group admins"}).status_code == 403
    other = Group.objects.create(name="Others")
    beyond = [*group.permissions.values_list("pk", flat=True), permissions("delete_user")[0].pk]
    response = client.post(f"/admin/auth/group/{other.pk}/change/", {"name": "Others", "permissions": beyond})
    assert response.status_code == 200
    assert (group.permissions.count(), other.permissions.count()) == (2, 0)
    assert denied() == [("grp", "change"), ("grp", "grant")]
    strong = Group.objects.create(name="Strong")
    strong.permissions.set(permissions("delete_user"))
    assert client.post(f"/admin/auth/group/{strong.pk}/change/", {"name": "Weak"}).status_code == 403
    assert client.post(f"/admin/auth/group/{strong.pk}/delete/", {"post": "yes"}).status_code == 403
    assert strong.permissions.count() == 1


@pytest.mark.parametrize("who", ["view", "ada"])
def test_s13_no_hash_on_any_page(commit: Commit, client: Client, ada: User, linus: User, who: str) -> None:
    reader = ada if who == "ada" else staff_with(commit, "reader", "view_user", "view_emaillog")
    client.force_login(reader)
    algorithm, salt, digest = linus.password.split("$")
    for path in ("", f"{linus.pk}/change/", f"{linus.pk}/history/", f"{linus.pk}/password/", f"{linus.pk}/delete/"):
        page = client.get(LIST + path).content.decode()
        assert not any(part in page for part in (f"{algorithm}$", salt, digest[:6])), path


@pytest.mark.parametrize(
    "query",
    [
        *("password__startswith=md5", "password=x", "user_permissions__codename=x", "events__reason__contains=x"),
        *("emails__text__contains=token", "totpdevice__key__startswith=a", "session_epoch=0", "is_superuser=1"),
        "_to_field=password",
    ],
)
def test_s14_a_query_is_no_oracle(client: Client, ada: User, query: str) -> None:
    client.force_login(ada)
    assert client.get(f"{LIST}?{query}").status_code in {302, 400}
    assert client.get(f"/admin/emails/emaillog/?user__{query}").status_code in {302, 400}


def test_ordering_by_a_column_that_is_not_shown_is_ignored(client: Client, ada: User, linus: User) -> None:
    client.force_login(ada)
    usual = [person.pk for person in client.get(LIST).context["cl"].result_list]
    assert [person.pk for person in client.get(f"{LIST}?o=-99").context["cl"].result_list] == usual


@pytest.mark.parametrize("verb", ["disable", "delete", "anonymise"])
def test_nobody_does_it_to_themselves(commit: Commit, client: Client, ada: User, verb: str) -> None:
    with commit():
        User.objects.create_superuser("other", "other@example.com")
    client.force_login(ada)
    assert client.post(f"{LIST}{ada.pk}/act/{verb}/", {"confirm": "yes", "reason": "x"}).status_code == 403
    data = form_of(ada, is_active="", is_staff="", is_superuser="")
    assert client.post(f"{LIST}{ada.pk}/change/", data).status_code == 302
    ada.refresh_from_db()
    assert ada.is_active
    assert ada.is_staff
    assert ada.is_superuser


def test_what_may_not_be_changed_is_shown_with_why(commit: Commit, manager: Client, ada: User, linus: User) -> None:
    page = manager.get(f"{LIST}{ada.pk}/change/").content.decode()
    assert "You can read this page, not change it. Only a superuser may do this to a superuser." in page
    assert 'name="email"' not in page
    page = manager.get(f"{LIST}{linus.pk}/change/").content.decode()
    assert "Only a superuser makes a superuser." in page
    assert 'name="is_superuser"' not in page
    assert 'name="email"' in page


def test_a_disabled_person_is_as_strong_as_when_enabled(commit: Commit, manager: Client) -> None:
    strong = staff_with(commit, "strong", "view_session")
    with commit():
        strong.is_active = False
        strong.save()
    assert manager.post(f"{LIST}{strong.pk}/change/", form_of(strong, email="x@evil.example")).status_code == 403


def test_who_may_add_people_but_not_invite_them_invites_nobody(commit: Commit, client: Client) -> None:
    client.force_login(staff_with(commit, "adder", "view_user", "add_user", "change_user"))
    assert 'name="send_invitation"' not in client.get(f"{LIST}add/").content.decode()
    data = {"username": "mei", "email": "mei@example.com", "language": "en", "send_invitation": "on"}
    with commit():
        assert client.post(f"{LIST}add/", data).status_code == 302
    mei = User.objects.get(username="mei")
    assert mei.invited_at is None
    assert [email.kind for email in mei.emails.all()] == ["welcome"]
