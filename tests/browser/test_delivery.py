"""Staff pause all sending, and settle what is in doubt, by clicks alone and without JavaScript."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import RunningSite
from tests.browser.visitor import follow
from tests.esp import LoopbackESP

DOUBT = (
    'from emails.models import EmailLog\nanswer = EmailLog.objects.filter(state="in_doubt").values_list("pk").first()'
)
SHOTS = os.environ.get("SCREENSHOTS", "")


def look(page: Page, name: str) -> None:
    """Keep a picture of the page in each light, for whoever sets SCREENSHOTS to a folder."""
    if SHOTS:
        size = page.viewport_size
        for width, scheme in ((1280, "light"), (1280, "dark"), (360, "light")):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.screenshot(path=str(Path(SHOTS) / f"{name}-{width}-{scheme}.png"), full_page=True)
        page.emulate_media(color_scheme="light")
        if size is not None:
            page.set_viewport_size(size)


def rename(page: Page, site: RunningSite, name: str) -> None:
    page.goto(f"{site.url}/admin/accounts/user/2/change/")
    page.fill("#id_first_name", name)
    follow(page.locator("[name=_save]"))


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without"])
def test_pause_doubt_and_settlement(
    esp_site: tuple[RunningSite, LoopbackESP], browser: Browser, javascript: bool
) -> None:
    site, esp = esp_site
    page = site.sign_in(browser.new_context(java_script_enabled=javascript).new_page())
    page.goto(f"{site.url}/admin/emails/lane/")
    page.fill("#pause-reason", "we are moving house")
    follow(page.locator("text=Pause all sending"))
    assert page.locator(".email-state").inner_text().startswith("Ⅱ Paused")
    look(page, "paused")
    before = len(esp.accepted)
    rename(page, site, "Adele")
    site.wait_until(lambda: site.states().get("queued") == 1)
    assert len(esp.accepted) == before

    esp.fault = "reset-after"
    page.goto(f"{site.url}/admin/emails/lane/")
    follow(page.locator("text=Resume sending"))
    site.wait_until(lambda: site.states().get("in_doubt") == 1)
    page.get_by_text("we are moving house").first.wait_for(state="attached")  # The worker may be quicker than the page.
    look(page, "lanes")

    esp.fault = None
    (doubt,) = site.python(DOUBT)
    page.goto(f"{site.url}/admin/emails/emaillog/{doubt}/change/")
    look(page, "doubt")
    follow(page.locator("text=Send again…"))
    look(page, "resend")
    page.fill("#id_reason", "she has not got it")
    follow(page.locator("#content [type=submit]"))
    assert "Sent again as" in page.locator(".messagelist").inner_text()
    look(page, "sent-again")
    follow(page.locator(".email-chain a"))
    site.wait_until(lambda: "in_doubt" not in site.states() and site.states().get("failed") == 1)
    site.wait_until(lambda: len(esp.accepted) == before + 2)
    page.context.close()
