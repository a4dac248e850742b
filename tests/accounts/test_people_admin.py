"""What staff do with people in the admin, and what they read afterwards."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse

from accounts.models import User
from emails.models import EmailKindSwitch, EmailLog
from tests.conftest import Commit
from tests.log import kinds, newest, sent_to

pytestmark = pytest.mark.django_db

ADD = {"username": "mei", "email": "Mei@Example.COM", "first_name": "Mei", "last_name": "Tanaka", "language": "de"}


@pytest.fixture
def staff(ada: User, client: Client) -> Client:
    client.force_login(ada)
    return client


def texts(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def form_of(person: User, **differences: Any) -> dict[str, Any]:
    data = {
        "username": person.username,
        "first_name": person.first_name,
        "last_name": person.last_name,
        "email": person.email,
        "language": person.language,
        "is_active": "on",
    }
    return {name: value for name, value in {**data, **differences}.items() if value is not None}


def test_a_person_is_added_without_a_password(commit: Commit, staff: Client) -> None:
    with commit():
        response = staff.post(reverse("admin:accounts_user_add"), ADD, follow=True)
    mei = User.objects.get(username="mei")
    assert not mei.has_usable_password()
    assert (mei.email, mei.language) == ("Mei@example.com", "de")
    assert sent_to(newest()) == ["mei@example.com"]
    assert newest().language == "de"
    assert f'<a href="{newest().get_absolute_url()}">Welcome</a>' in texts(response)[-1]
    assert (newest().actor_label, newest().cause) == ("ada", "POST /admin/accounts/user/add/")


def test_a_person_is_added_with_a_password(commit: Commit, staff: Client) -> None:
    passwords = {"password1": "long and secret", "password2": "long and secret"}
    with commit():
        staff.post(reverse("admin:accounts_user_add"), {**ADD, **passwords})
    assert User.objects.get(username="mei").check_password("long and secret")
    assert kinds()[-1] == "welcome"


@pytest.mark.parametrize(
    ("differences", "error"),
    [
        ({"email": ""}, "This field is required."),
        ({"email": "ADA@example.com"}, "ada already has this email address."),
        ({"username": "ADA"}, "already exists"),
        ({"password1": "only once"}, "Enter the password in both fields"),
        ({"password1": "long and secret", "password2": "something else"}, "didn’t match"),
        ({"password1": "123", "password2": "123"}, "too short"),
        ({"email": "a\nb@example.com"}, "valid email"),
    ],
)
def test_bad_input_is_explained_and_sends_nothing(
    commit: Commit, staff: Client, differences: dict[str, str], error: str
) -> None:
    before = kinds()
    with commit():
        response = staff.post(reverse("admin:accounts_user_add"), {**ADD, **differences})
    assert response.status_code == 200
    assert error in str(response.context["adminform"].errors)
    assert kinds() == before


def test_an_edit_of_name_and_groups_is_one_email(commit: Commit, staff: Client, linus: User) -> None:
    group = Group.objects.create(name="Editors")
    url = reverse("admin:accounts_user_change", args=[linus.pk])
    before = len(kinds())
    with commit():
        response = staff.post(url, form_of(linus, first_name="Leo", groups=[group.pk]), follow=True)
    assert len(kinds()) == before + 1
    assert newest().changes == {"first_name": ["Linus", "Leo"], "groups": [[], ["Editors"]]}
    assert len([text for text in texts(response) if "Email queued" in text]) == 1


def test_a_save_that_changes_nothing_says_nothing(commit: Commit, staff: Client, linus: User) -> None:
    url = reverse("admin:accounts_user_change", args=[linus.pk])
    before = kinds()
    with commit():
        response = staff.post(url, form_of(linus), follow=True)
    assert kinds() == before
    assert not [text for text in texts(response) if "Email" in text]


def test_an_email_that_is_not_sent_is_announced_with_the_reason(commit: Commit, staff: Client, linus: User) -> None:
    EmailKindSwitch.objects.filter(key="deactivated").update(enabled=False)
    url = reverse("admin:accounts_user_change", args=[linus.pk])
    with commit():
        response = staff.post(url, form_of(linus, is_active=None), follow=True)
    assert "Deactivated</a> to linus@example.com. This kind of email is switched off." in texts(response)[-1]


def test_a_deletion_announces_both_emails(commit: Commit, staff: Client, linus: User) -> None:
    with commit():
        response = staff.post(reverse("admin:accounts_user_delete", args=[linus.pk]), {"post": "yes"}, follow=True)
    announced = [text for text in texts(response) if "Email queued" in text]
    assert len(announced) == 2
    assert "Deletion notice" in announced[0]
    assert "Account deleted" in announced[1]


def test_many_emails_are_counted(commit: Commit, staff: Client) -> None:
    with commit():
        people = [User.objects.create_user(f"p{n}", f"p{n}@example.com").pk for n in range(8)]
    with commit():
        chosen = {"action": "disable", "_selected_action": people, "confirm": "yes", "reason": "Left."}
        data = {**chosen, "email_kinds": "deactivated"}
        response = staff.post(reverse("admin:accounts_user_changelist"), data, follow=True)
    assert texts(response)[0] == "Disable: done for 8 people."
    assert texts(response)[1].startswith("8 emails were recorded.")


def test_a_password_change_in_the_admin_is_told_and_announced(commit: Commit, staff: Client, linus: User) -> None:
    url = reverse("admin:auth_user_password_change", args=[linus.pk])
    data = {"password1": "long and secret", "password2": "long and secret", "usable_password": "true"}
    with commit():
        response = staff.post(url, data, follow=True)
    assert newest().kind == "password_changed"
    assert "Password changed" in texts(response)[-1]


def test_no_page_shows_any_part_of_a_password_hash(staff: Client, linus: User) -> None:
    algorithm, salt, digest = linus.password.split("$")
    for url in (
        reverse("admin:accounts_user_change", args=[linus.pk]),
        reverse("admin:accounts_user_changelist"),
        reverse("admin:auth_user_password_change", args=[linus.pk]),
    ):
        page = staff.get(url).content.decode()
        assert algorithm not in page
        assert salt[:4] not in page
        assert digest[:6] not in page


def test_the_persons_page_leads_to_the_persons_mail(staff: Client, linus: User, ada: User) -> None:
    page = staff.get(reverse("admin:accounts_user_change", args=[linus.pk])).content.decode()
    url = f"{reverse('admin:emails_emaillog_changelist')}?user__exact={linus.pk}"
    assert url in page
    result = staff.get(url).context["cl"].queryset
    assert {email.user_id for email in result} == {linus.pk}


def test_staff_who_may_not_see_the_log_get_no_link(commit: Commit, client: Client, linus: User) -> None:
    with commit():
        grace = User.objects.create_user("grace", "grace@example.com", is_staff=True)
        grace.user_permissions.set(Permission.objects.filter(codename__in=["change_user", "view_user"]))
    client.force_login(grace)
    url = reverse("admin:accounts_user_change", args=[linus.pk])
    with commit():
        response = client.post(url, form_of(linus, first_name="Leo"), follow=True)
    assert "Email queued: Update notice to Leo Ahlberg" in texts(response)[-1]
    assert "emaillog" not in response.content.decode()


def test_the_list_takes_as_many_queries_for_fifty_people_as_for_two(
    commit: Commit, staff: Client, django_assert_max_num_queries: Any
) -> None:
    with commit():
        for n in range(50):
            User.objects.create_user(f"p{n}", f"p{n}@example.com")
    with django_assert_max_num_queries(8):
        assert staff.get(reverse("admin:accounts_user_changelist")).status_code == 200
    assert EmailLog.objects.count() == 51


def test_people_are_found_by_name_username_and_address(staff: Client, linus: User) -> None:
    for term in ("linus", "Ahlberg", "linus@example"):
        response = staff.get(reverse("admin:accounts_user_changelist"), {"q": term})
        assert list(response.context["cl"].queryset) == [linus]


def test_addresses_are_unique_in_the_database_whatever_their_case(linus: User) -> None:
    with pytest.raises(Exception, match=r"UNIQUE|unique"):
        User.objects.bulk_create([User(username="other", email="LINUS@EXAMPLE.COM")])
