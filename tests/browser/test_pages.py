"""Every page in light, dark, on a phone and without JavaScript; previews of hostile emails do nothing."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import RunningSite

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
HOSTILE = """<html><head><meta http-equiv="refresh" content="0;url=http://evil.invalid/refresh">
<base href="http://evil.invalid/"><link rel="stylesheet" href="http://evil.invalid/x.css">
<style>@import url(http://evil.invalid/i.css); body { background: url(http://evil.invalid/b.png) }</style></head>
<body onload="document.title='owned'"><script>parent.document.title='owned'; fetch('/admin/')</script>
<img src="http://evil.invalid/p.png" onerror="alert(1)"><svg onload="alert(1)"><image href="http://evil.invalid/s"/></svg>
<iframe src="http://evil.invalid/f"></iframe><form action="/admin/logout/" method="post"><button>go</button></form>
<a href="http://evil.invalid/link" id="top" target="_top">top</a><a id="here" href="http://evil.invalid/here">here</a>
<p>\u202eright to left</p><h1>Hostile</h1>"""


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
    page.click("#result_list .field-emails a")
    page.click("#result_list tbody tr:first-child .field-message a")
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
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details[open] pre").first.is_visible()
    context.close()


class Canary(ThreadingHTTPServer):
    """Another host, that hears of every request made to it."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        canary = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                canary.heard.append(self.path)
                self.send_error(404)

            do_POST = do_GET

            def log_message(self, *args: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def canary() -> Iterator[Canary]:
    with Canary() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("framed", [True, False], ids=["in its frame", "opened by itself"])
def test_a_hostile_email_runs_nothing_asks_nothing_and_goes_nowhere(
    console_site: RunningSite, browser: Browser, canary: Canary, framed: bool
) -> None:
    body = HOSTILE.replace("evil.invalid", f"localhost:{canary.server_address[1]}")
    pk = console_site.python(
        "from django.core.mail import send_mail; from emails.models import EmailLog\n"
        f"send_mail('Hostile', 'text', None, ['a@example.com'], html_message={body!r})\n"
        "answer = EmailLog.objects.order_by('-id')[0].pk"
    )
    context = browser.new_context()
    page = console_site.sign_in(context.new_page())
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    url = f"{console_site.url}/admin/emails/emaillog/{pk}/{'change' if framed else 'preview'}/"
    page.goto(url)
    document: Any = page.frame_locator("iframe.email-frame") if framed else page
    assert document.locator("h1").last.inner_text() == "Hostile"
    document.locator("form button").last.click()
    if framed:  # Opened by itself, a click on a link is the reader's own.
        document.locator("#top").click()
        document.locator("#here").click()
    page.wait_for_timeout(1500)
    assert canary.heard == []
    assert dialogs == []
    assert page.url == url
    assert "owned" not in page.title()
    assert page.request.get(f"{console_site.url}/admin/").url.endswith("/admin/")  # Still signed in.
    context.close()
