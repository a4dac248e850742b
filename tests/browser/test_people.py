"""The whole story of a person, in a browser: invited, signed in with a second factor, disabled, anonymised."""

import base64
import re

import pytest
from django_otp.oath import totp
from playwright.sync_api import Browser

from tests.browser.conftest import RunningSite
from tests.browser.visitor import LOOKS, Visitor, follow
from tests.sink import SMTPSink

LINK = re.compile(r"http://127\.0\.0\.1:\d+/accounts/(?:invitation|reset)/\S+?/\S+?/")
PASSWORD = "a long and secret one"


def mailed_link(site: RunningSite, sink: SMTPSink, address: str) -> str:
    """The link in the newest message to this address that has one."""

    def found() -> list[str]:
        mine = [message for message in sink.messages if address in message["To"]]
        texts = [body.get_content() for message in mine if (body := message.get_body(("plain",)))]
        return [link for text in texts for link in LINK.findall(text)]

    site.wait_until(lambda: bool(found()))
    return found()[-1]


def subjects(site: RunningSite, sink: SMTPSink, address: str, subject: str) -> None:
    """Wait until a message with this subject has come to the address."""
    site.wait_until(
        lambda: any(address in message["To"] and message["Subject"] == subject for message in sink.messages)
    )


@pytest.mark.parametrize("look", LOOKS)
def test_from_the_invitation_to_the_end(smtp_site: tuple[RunningSite, SMTPSink], browser: Browser, look: str) -> None:
    site, sink = smtp_site
    staff, rosa = Visitor(browser, look), Visitor(browser, look)
    site.sign_in(staff.page)
    staff.go(f"{site.url}/admin/accounts/user/add/")
    staff.fill(username="rosa", email="rosa@example.com", first_name="Rosa")
    staff.page.check("#id_is_staff")
    staff.press("Show what will be sent")
    assert "Invitation" in staff.page.locator("#content").inner_text()
    staff.press("Save")
    person = staff.page.url
    assert "Invited" in staff.page.locator(".person-state").inner_text()

    rosa.go(mailed_link(site, sink, "rosa@example.com"))
    rosa.fill(new_password1=PASSWORD, new_password2=PASSWORD)
    rosa.press("Set the password")
    rosa.go(f"{site.url}/accounts/login/")
    rosa.fill(username="rosa", password=PASSWORD)
    rosa.press("Sign in")
    rosa.go(f"{site.url}/accounts/second-factor/setup/")
    key = rosa.page.locator(".key").inner_text().replace(" ", "")
    rosa.fill(token=now(key))
    rosa.press("Turn it on")
    assert rosa.page.locator(".codes code").count() == 10
    recovery = rosa.page.locator(".codes code").first.inner_text()
    subjects(site, sink, "rosa@example.com", "A second factor was set up for your account")

    again = Visitor(browser, look)
    again.go(f"{site.url}/accounts/login/")
    again.fill(username="rosa", password=PASSWORD)
    again.press("Sign in")
    again.go(f"{site.url}/admin/")
    assert "/accounts/second-factor/" in again.page.url
    again.fill(token="000000")
    again.press("Go on")
    assert "not right" in again.page.locator("#content").inner_text()
    again.errors.clear()  # The browser tells of the answer 400.
    site.wait_until(lambda: passes(again, recovery))
    again.errors.clear()
    assert again.page.url == f"{site.url}/admin/"

    staff.go(person)
    staff.fill(email="rosa.new@example.com")
    staff.press("Save and continue editing")
    for address in ("rosa@example.com", "rosa.new@example.com"):
        subjects(site, sink, address, "The email address of your account was changed")
    staff.go(person.replace("change/", "act/disable/"))
    staff.fill(reason="She left.")
    staff.press("Disable")
    assert "Disabled" in staff.page.locator(".person-state").inner_text()
    again.page.goto(f"{site.url}/admin/")
    assert "login" in again.page.url
    for verb, label, state in (("enable", "Enable", "Active"), ("anonymise", "Anonymise", "Anonymised")):
        staff.go(person.replace("change/", f"act/{verb}/"))
        staff.fill(reason="She asked.")
        staff.press(label)
        assert state in staff.page.locator(".person-state").inner_text()
    assert "rosa" not in staff.page.locator(".person-beside").inner_text().lower()
    staff.go(person.replace("change/", "history/"))
    assert [visitor.errors for visitor in (staff, rosa, again)] == [[], [], []]
    for visitor in (staff, rosa, again):
        visitor.page.context.close()


def passes(visitor: Visitor, token: str) -> bool:
    """After a wrong code the next one has to wait a moment."""
    visitor.fill(token=token)
    follow(visitor.page.locator("#content [type=submit]"))
    return "/second-factor/" not in visitor.page.url


def now(key: str) -> str:
    return f"{totp(base64.b32decode(key)):06d}"


PAGES = {
    "people": "/admin/accounts/user/",
    "person": "/admin/accounts/user/2/change/",
    "oneself": "/admin/accounts/user/1/change/",
    "deletion": "/admin/accounts/user/2/delete/",
    "timeline": "/admin/accounts/user/2/history/",
    "disable": "/admin/accounts/user/2/act/disable/",
    "anonymise": "/admin/accounts/user/2/act/anonymise/",
    "set a password": "/admin/accounts/user/3/password/",
    "import": "/admin/accounts/user/import/",
    "imports": "/admin/accounts/user/batches/",
    "events": "/admin/accounts/personevent/",
    "group": "/admin/auth/group/1/change/",
    "deletion of a group": "/admin/auth/group/1/delete/",
    "account": "/accounts/",
    "password": "/accounts/password_change/",
    "forgotten": "/accounts/password_reset/",
    "dead link": "/accounts/reset/MQ/abc-0123456789/",
}


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_is_fit_for_everybody(console_site: RunningSite, browser: Browser, look: str) -> None:
    staff = Visitor(browser, look)
    console_site.sign_in(staff.page)
    for path in PAGES.values():
        staff.go(console_site.url + path)
    for action in ("send_again", "export"):  # The pages that ask before many are done.
        page = staff.go(f"{console_site.url}/admin/emails/emaillog/")
        page.locator("[name=_selected_action]").first.check()
        page.select_option("[name=action]", action)
        follow(page.locator("[name=index]"))
        staff.see()
    assert staff.errors == []
    staff.page.context.close()


def test_did_she_get_it_is_two_clicks(console_site: RunningSite, browser: Browser) -> None:
    page = console_site.sign_in(browser.new_context(java_script_enabled=False).new_page())
    page.goto(f"{console_site.url}/admin/accounts/user/?q=grace")
    follow(page.locator("#result_list .field-person a"))
    follow(page.locator(".person-emails a"))
    assert "Accepted by Console" in page.locator(".email-line").inner_text()
    page.context.close()
