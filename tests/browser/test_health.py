"""A test email, its bounce, the suppressed address and its lifting: by clicks alone, with and without JavaScript."""

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import RunningSite
from tests.browser.test_delivery import look
from tests.browser.visitor import follow
from tests.esp import LoopbackESP


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without"])
def test_from_a_test_email_to_its_bounce_and_back(
    esp_site: tuple[RunningSite, LoopbackESP], browser: Browser, javascript: bool
) -> None:
    site, esp = esp_site
    page = site.sign_in(browser.new_context(java_script_enabled=javascript).new_page())
    page.goto(f"{site.url}/admin/")
    follow(page.locator("text=Email health"))
    look(page, "health")
    page.fill("#try-address", "grace@example.net")
    follow(page.locator("text=Send test email"))
    assert "Test email" in page.locator(".email-subject").inner_text()
    address = page.url
    number = address.rstrip("/").split("/")[-2]
    site.wait_until(lambda: any(mail["To"] == "grace@example.net" for mail in esp.accepted))
    site.wait_until(lambda: site.rows(f"SELECT state FROM emails_emaillog WHERE id = {number}") == [("sent",)])

    for event in ("delivered", "opened", "bounced"):
        assert "reported" in site.manage("replay_webhook", number, "--event", event).stdout
    page.goto(address)
    assert "Bounced" in page.locator(".email-line").inner_text()
    assert "550 5.1.1 mailbox does not exist" in page.locator(".email-timeline").inner_text()
    look(page, "bounced")

    page.goto(f"{site.url}/admin/emails/suppression/")
    look(page, "suppressed")
    follow(page.locator("text=grace@example.net"))
    look(page, "suppression")
    page.fill("#lift-reason", "She has a new mailbox.")
    follow(page.locator("text=Let mail go there again"))
    assert "Mail goes to grace@example.net again" in page.locator(".messagelist").inner_text()
    assert page.locator("#lift-reason").count() == 0
    page.goto(f"{site.url}/admin/emails/health/")
    assert page.locator("text=Last report").is_visible()
    page.context.close()


def test_a_redirect_is_announced_on_every_page(redirected_site: RunningSite, browser: Browser) -> None:
    page = redirected_site.sign_in(browser.new_context().new_page())
    for path in ("/admin/", "/admin/accounts/user/", "/admin/emails/health/"):
        page.goto(redirected_site.url + path)
        assert page.locator(".banner").inner_text().startswith("All email goes to staging@example.org")
    look(page, "redirect")
    page.context.close()
