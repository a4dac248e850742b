"""Every page in light, dark, on a phone and without JavaScript."""

from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import RunningSite
from tests.browser.visitor import follow

PAGES = {
    "front page": "/admin/",
    "log": "/admin/emails/emaillog/",
    "log, filtered": "/admin/emails/emaillog/?status=sent&kind=welcome",
    "log, nothing found": "/admin/emails/emaillog/?q=nobody%40example.com",
    "email": "/admin/emails/emaillog/1/change/",
    "kinds": "/admin/emails/emailkindswitch/",
    "delivery lanes": "/admin/emails/lane/",
    "health": "/admin/emails/health/",
    "suppressed addresses": "/admin/emails/suppression/",
    "people": "/admin/accounts/user/",
    "person": "/admin/accounts/user/2/change/",
    "new person": "/admin/accounts/user/add/",
    "deletion": "/admin/accounts/user/2/delete/",
}
LOOKS: dict[str, Any] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 360, "height": 740}},
    "German": {"locale": "de"},
    "without JavaScript": {"java_script_enabled": False},
}


@pytest.mark.parametrize("look", LOOKS)
def test_pages_fit_and_ask_no_other_host(console_site: RunningSite, browser: Browser, look: str) -> None:
    context = browser.new_context(**LOOKS[look])
    page = console_site.sign_in(context.new_page())
    requests: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    for name, path in PAGES.items():
        response = page.goto(console_site.url + path)
        assert response is not None
        assert response.status == 200, name
        if look != "without JavaScript":
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        assert page.locator("h1").first.is_visible(), name
    assert [url for url in requests if not url.startswith((console_site.url, "data:"))] == []
    assert errors == []
    context.close()


def test_the_answer_is_two_clicks_away_without_javascript(console_site: RunningSite, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = console_site.sign_in(context.new_page())
    page.goto(f"{console_site.url}/admin/accounts/user/?q=grace")
    follow(page.locator("#result_list .field-emails a"))
    follow(page.locator("#result_list tbody tr:first-child .field-message a"))
    assert "Accepted by Console" in page.locator(".email-line").inner_text()
    context.close()


def test_the_log_is_read_by_keyboard(console_site: RunningSite, browser: Browser) -> None:
    context = browser.new_context()
    page = console_site.sign_in(context.new_page())
    page.goto(f"{console_site.url}/admin/emails/emaillog/")
    page.locator("#searchbar").focus()
    page.keyboard.type("grace@example.com")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=grace**")
    page.locator("#result_list tbody tr:first-child .field-message a").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".email-state")
    page.get_by_role("link", name="Text", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**show=text**")
    assert page.locator("pre").first.is_visible()
    context.close()
