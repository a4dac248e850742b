"""A thousand changes, half of which never commit: rows equal committed changes, and nothing is sent for the rest."""

import random
from pathlib import Path

import pytest
from django.db import transaction

from accounts.models import User
from emails import delivery
from emails.models import EmailLog
from tests.esp import LoopbackESP
from tests.site import Site


class Undone(Exception):
    pass


def change(person: User, number: int, fate: str) -> None:
    """One save that commits, or is undone in one of the ways that happen."""
    person.first_name = f"N{number}"
    if fate == "commit":
        person.save()
    elif fate == "exception":
        with transaction.atomic():
            person.save()
            raise Undone
    elif fate == "set_rollback":
        with transaction.atomic():
            person.save()
            transaction.set_rollback(True)
    elif fate == "inner":
        with transaction.atomic():
            try:
                with transaction.atomic():
                    person.save()
                    raise Undone
            except Undone:
                pass
    elif fate == "outer":
        with transaction.atomic():
            with transaction.atomic():
                person.save()
            raise Undone


@pytest.mark.django_db(transaction=True)
def test_rows_equal_committed_changes(esp: LoopbackESP) -> None:
    people = [User.objects.create_user(f"p{n}", f"p{n}@example.com") for n in range(10)]
    delivery.drain(seconds=30)
    chance, committed, before = random.Random(20261123), [], len(esp.accepted)
    for number in range(1000):
        person = User.objects.get(pk=chance.choice(people).pk)
        old = person.first_name
        fate = chance.choice(["commit"] * 4 + ["exception", "set_rollback", "inner", "outer"])
        try:
            change(person, number, fate)
        except Undone:
            pass
        if fate == "commit":
            committed.append([old, f"N{number}"])
    recorded = EmailLog.objects.filter(kind="update_notice").order_by("id")
    assert [email.changes["first_name"] for email in recorded] == committed
    assert 400 < len(committed) < 600
    delivery.drain(seconds=60)
    assert len(esp.accepted) - before == len(committed)
    assert not EmailLog.objects.exclude(state="sent").exists()


CHANGE_UNTIL_KILLED = """
import os, signal
from django.db import transaction
from accounts.models import User
person = User.objects.get(username="mei")
for number in range(20):
    person.first_name = f"N{number}"
    person.save()
with transaction.atomic():
    for number in range(20, 40):
        person.first_name = f"N{number}"
        person.save()
        User.objects.create_user(f"lost{number}", f"lost{number}@example.com")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_killed_before_commit_leaves_neither_change_nor_email(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.python('from accounts.models import User; User.objects.create_user("mei", "mei@example.com")')
        died = site.manage("shell", "--verbosity", "0", "--command", CHANGE_UNTIL_KILLED, check=False)
        assert died.returncode == -9
        name, people, kinds = site.python(
            "from accounts.models import User; from emails.models import EmailLog\n"
            'kinds = list(EmailLog.objects.values_list("kind", flat=True))\n'
            "answer = [User.objects.get().first_name, User.objects.count(), kinds]"
        )
        assert (name, people) == ("N19", 1)
        assert kinds == ["update_notice"] * 20 + ["welcome"]
