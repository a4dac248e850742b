"""Whoever tries whatever: nobody's powers grow beyond those of who acts, and an active superuser is always there."""

import os
from collections import Counter
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from accounts import batches, links
from accounts.models import User
from emails.models import EmailLog

LIST = "/admin/accounts/user/"
CODENAMES = (
    *("view_user", "add_user", "change_user", "delete_user", "invite_user", "anonymise_user", "export_user"),
    *("reset_second_factor", "view_group", "change_group", "view_session", "view_emaillog"),
    *("resend_emaillog", "delete_group"),
)
VERBS = ("invite", "withdraw", "reset_password", "disable", "enable", "sign_out", "unlock", "reset_factor", "delete")
people = st.fixed_dictionaries(
    {
        "is_superuser": st.integers(0, 4).map(lambda n: n == 0),
        "is_active": st.integers(0, 4).map(lambda n: n > 0),
        "is_staff": st.just(True),
        "codenames": st.sets(st.sampled_from(CODENAMES), max_size=8),
        "groups": st.sets(st.integers(0, 1)),
    }
)
requests = st.one_of(
    st.fixed_dictionaries(
        {
            "what": st.just("form"),
            "flags": st.sets(st.sampled_from(["is_active", "is_staff", "is_superuser"])),
            "codenames": st.sets(st.sampled_from(CODENAMES), max_size=6),
            "groups": st.sets(st.integers(0, 1)),
        }
    ),
    st.fixed_dictionaries({"what": st.sampled_from([*VERBS, "anonymise"])}),
    st.fixed_dictionaries({"what": st.just("bulk"), "verb": st.sampled_from([*VERBS, "anonymise"])}),
    st.fixed_dictionaries({"what": st.just("password")}),
    st.fixed_dictionaries({"what": st.just("group"), "codenames": st.sets(st.sampled_from(CODENAMES), max_size=6)}),
    st.fixed_dictionaries({"what": st.sampled_from(["django delete", "group delete", "resend", "export", "unset"])}),
    st.fixed_dictionaries(
        {
            "what": st.just("add"),
            "is_staff": st.booleans(),
            "groups": st.sets(st.integers(0, 1)),
            "invite": st.booleans(),
        }
    ),
    st.fixed_dictionaries(
        {
            "what": st.just("import"),
            "is_active": st.sampled_from(["", "0", "1"]),
            "is_staff": st.sampled_from(["", "0", "1"]),
            "groups": st.sampled_from(["", "-", "A", "A|B"]),
            "email": st.sampled_from(["", "evil@example.com"]),
        }
    ),
)
steps = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), requests), min_size=1, max_size=6)


def powers(person: User) -> frozenset[str]:
    """Everything the person could do, were the account enabled; a superuser has one word more than all others."""
    if person.is_superuser:
        return frozenset({"superuser", *Permission.objects.values_list("codename", flat=True)})
    own = Permission.objects.filter(user=person) | Permission.objects.filter(group__user=person)
    return frozenset(own.values_list("codename", flat=True))


def everybody() -> dict[int, frozenset[str]]:
    return {person.pk: powers(person) for person in User.objects.all()}


def facts(person: User) -> tuple[Any, ...]:
    names = ("password", "email", "username", "is_active", "is_staff", "session_epoch", "link_epoch", "invited_at")
    return tuple(getattr(person, name) for name in names)


def sent_to() -> Counter[int | None]:
    """How many links were mailed to whom."""
    return Counter(EmailLog.objects.filter(kind__in=["password_reset", "invitation"]).values_list("user_id", flat=True))


def send(client: Client, target: int, person: User | None, request: dict[str, Any], groups: list[Group]) -> None:
    ids = dict(Permission.objects.values_list("codename", "pk"))
    what = request["what"]
    if what == "form":
        data = {
            name: getattr(person, name, "x") for name in ("username", "first_name", "last_name", "email", "language")
        }
        data |= dict.fromkeys(request["flags"], "on")
        data["user_permissions"] = [ids[name] for name in request["codenames"]]
        data["groups"] = [groups[n].pk for n in request["groups"]]
        client.post(f"{LIST}{target}/change/", data)
    elif what == "bulk":
        chosen = list(User.objects.values_list("pk", flat=True))
        client.post(LIST, {"action": request["verb"], "_selected_action": chosen, "confirm": "yes", "reason": "x"})
    elif what == "password":
        new = {"password1": "long and secret", "password2": "long and secret", "usable_password": "true"}
        client.post(f"{LIST}{target}/password/", new)
    elif what == "group":
        data = {"name": groups[0].name, "permissions": [ids[name] for name in request["codenames"]]}
        client.post(f"/admin/auth/group/{groups[0].pk}/change/", data)
    elif what == "group delete":
        client.post(f"/admin/auth/group/{groups[1].pk}/delete/", {"post": "yes"})
    elif what == "unset":
        client.post(f"{LIST}{target}/password/", {"usable_password": "false"})
    elif what == "export":
        chosen = list(User.objects.values_list("pk", flat=True))
        client.post(LIST, {"action": "export", "_selected_action": chosen, "confirm": "yes", "format": "csv"})
    elif what == "resend":
        for email in EmailLog.objects.filter(kind__in=["password_reset", "invitation"]):
            client.post(f"/admin/emails/emaillog/{email.pk}/resend/", {"reason": "x"})
    elif what == "add":
        data = {"username": f"new{User.objects.count()}", "email": f"new{User.objects.count()}@example.com"}
        data |= {"language": "en", "groups": [group.pk for n, group in enumerate(groups) if n in request["groups"]]}
        data |= dict.fromkeys([name for name in ("is_staff", "invite") if request.get(name)], "on")
        client.post(f"{LIST}add/", {**data, "is_superuser": "on", "user_permissions": list(ids.values())})
    elif what == "import":
        columns = ("is_active", "is_staff", "groups", "email")
        cells = [
            request[name] or getattr(person, "email", "x@example.com") if name == "email" else request[name]
            for name in columns
        ]
        rows = [f"username,{','.join(columns)}", ",".join([getattr(person, "username", "newcomer"), *cells])]
        answer = client.post(f"{LIST}import/", {"file": SimpleUploadedFile("a.csv", "\n".join(rows).encode())})
        if answer.status_code == 302:
            while batches.take_slice():
                pass
            client.post(answer["Location"], {"invite": "1"})
            while batches.take_slice():
                pass
    elif what == "django delete":
        client.post(f"{LIST}{target}/delete/", {"post": "yes"})
    else:
        client.post(f"{LIST}{target}/act/{what}/", {"confirm": "yes", "reason": "x"})


class PolicyHolds(TestCase):  # type: ignore[misc]
    @pytest.fixture(autouse=True)
    def _asleep(self, asleep: None) -> None:
        return

    @settings(
        max_examples=400 if os.environ.get("THOROUGH") else 10,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(people, min_size=4, max_size=4), steps)
    def test_powers_never_grow_beyond_the_actors(self, persons: list[dict[str, Any]], walk: Any) -> None:
        User.objects.create_superuser("root", "root@example.com")
        groups = [Group.objects.create(name=name) for name in ("A", "B")]
        groups[0].permissions.set(Permission.objects.filter(codename__in=["view_user", "change_user"]))
        groups[1].permissions.set(Permission.objects.filter(codename__in=["view_session"]))
        made = []
        for n, values in enumerate(persons):
            flags = {name: values[name] for name in ("is_superuser", "is_active", "is_staff")}
            person = User.objects.create_user(f"p{n}", f"p{n}@example.com", **flags)
            person.user_permissions.set(Permission.objects.filter(codename__in=values["codenames"]))
            person.groups.set([groups[k] for k in values["groups"]])
            made.append(person.pk)
            EmailLog.objects.filter(pk=links.send("password_reset", person).pk).update(state="cancelled")
        for actor_at, target_at, request in walk:
            actor = User.objects.filter(pk=made[actor_at]).first()
            if actor is None or not actor.is_active:
                continue
            client = Client(raise_request_exception=True)
            client.force_login(actor)
            target = User.objects.filter(pk=made[target_at]).first()
            before = everybody()
            stored = {person.pk: facts(person) for person in User.objects.all()}
            links_sent = sent_to()
            send(client, made[target_at], target, request, groups)
            after = everybody()
            mine = before[actor.pk]
            for pk, now in after.items():
                assert now - before.get(pk, frozenset()) <= mine, request
            for person in User.objects.filter(pk__in=before):
                if not before[person.pk] <= mine:
                    assert facts(person) == stored[person.pk], request
                    assert after[person.pk] == before[person.pk], request
                    assert sent_to().get(person.pk) == links_sent.get(person.pk), request
            for pk in before.keys() - after.keys():
                assert before[pk] <= mine, request
            assert User.objects.active_superusers().exists()
            if actor.pk in after:
                acted = User.objects.get(pk=actor.pk)
                kept = ("is_active", "is_staff", "is_superuser")
                assert [getattr(acted, name) for name in kept] == [getattr(actor, name) for name in kept]
            else:
                raise AssertionError("nobody removes themselves")
