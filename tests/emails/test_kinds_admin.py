"""Kinds are switched on and off in the admin, and nothing else can be done to them."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import User
from emails import kinds
from emails.kinds import EmailKind
from emails.models import EmailKindSwitch

pytestmark = pytest.mark.django_db
LIST = "/admin/emails/emailkindswitch/"


def posted(client: Client, **enabled: bool) -> Any:
    switches = list(EmailKindSwitch.objects.all())
    data: dict[str, Any] = {"form-TOTAL_FORMS": len(switches), "form-INITIAL_FORMS": len(switches), "_save": "Save"}
    for number, switch in enumerate(switches):
        data[f"form-{number}-id"] = switch.pk
        if enabled.get(switch.key, switch.enabled):
            data[f"form-{number}-enabled"] = "on"
    return client.post(LIST, data)


def test_every_kind_of_the_code_is_listed_with_its_default(admin_client: Client) -> None:
    assert dict(EmailKindSwitch.objects.values_list("key", "enabled")) == {
        kind.key: kind.on for kind in kinds.KINDS.values()
    }
    page = admin_client.get(LIST).content.decode()
    for kind in kinds.KINDS.values():
        assert str(kind.label) in page


def test_a_kind_is_switched_off_and_on(admin_client: Client) -> None:
    for enabled in (False, True):
        assert posted(admin_client, welcome=enabled).status_code == 302
        assert ("welcome" in EmailKindSwitch.enabled_keys()) is enabled


def test_a_kind_that_must_be_sent_can_not_be_switched_off(admin_client: Client) -> None:
    posted(admin_client, email_changed=False)
    assert EmailKindSwitch.objects.get(key="email_changed").enabled


def test_there_is_no_page_on_which_a_kind_could_be_renamed(admin_client: Client) -> None:
    switch = EmailKindSwitch.objects.get(key="email_changed")
    for response in (
        admin_client.get(f"{LIST}{switch.pk}/change/"),
        admin_client.post(f"{LIST}{switch.pk}/change/", {"key": "renamed"}),
    ):
        assert response.headers["Location"] == LIST
    switch.refresh_from_db()
    assert (switch.key, switch.enabled) == ("email_changed", True)


def test_kinds_are_neither_added_nor_deleted(admin_client: Client) -> None:
    switch = EmailKindSwitch.objects.get(key="welcome")
    assert admin_client.get(f"{LIST}add/").status_code == 403
    assert admin_client.post(f"{LIST}{switch.pk}/delete/", {"post": "yes"}).status_code == 403


def test_switching_needs_permission(client: Client) -> None:
    grace = User.objects.create_user("grace", "grace@example.com", is_staff=True)
    grace.user_permissions.set(Permission.objects.filter(codename="view_emailkindswitch"))
    client.force_login(grace)
    assert client.get(LIST).status_code == 200
    posted(client, welcome=False)
    assert EmailKindSwitch.objects.get(key="welcome").enabled


def test_a_kind_of_an_older_version_does_not_break_the_page(admin_client: Client) -> None:
    EmailKindSwitch.objects.create(key="long_gone")
    assert "No longer used." in admin_client.get(LIST).content.decode()
    assert posted(admin_client, long_gone=False).status_code == 302


def test_a_kind_without_a_row_is_as_its_code_says() -> None:
    EmailKindSwitch.objects.all().delete()
    assert "welcome" in EmailKindSwitch.enabled_keys()
    assert "account_updated" not in EmailKindSwitch.enabled_keys()


def test_two_kinds_can_not_have_one_key() -> None:
    with pytest.raises(ValueError, match="rename one"):
        kinds.register(EmailKind("welcome", "Another", "Never"))
