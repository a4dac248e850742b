"""Create, edit, deactivate and delete a person in the browser; what arrives is what the log shows."""

import re
import threading
from contextlib import ExitStack
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import RunningSite
from tests.browser.story import STORY, tell
from tests.browser.visitor import follow
from tests.esp import LoopbackESP
from tests.sink import SMTPSink, free_port

LOG = """
from emails.models import EmailLog
answer = [
    {"kind": e.kind, "state": e.state, "subject": e.subject, "text": e.text, "html": e.html, "ref": str(e.ref)}
    for e in EmailLog.objects.filter(user_label__contains="rosa").order_by("id")
]
"""


def told(site: RunningSite, browser: Browser) -> list[dict[str, str]]:
    """The story in the browser, and the log once all of it is sent."""
    context = browser.new_context()
    page = site.sign_in(context.new_page())
    words = tell(page, site.url)
    assert len(words) == 5
    assert all("Email queued" in word for word in words)
    site.wait_until(lambda: all(email["state"] == "sent" for email in site.python(LOG)))
    page.goto(f"{site.url}/admin/emails/emaillog/?q=rosa%40example.com")
    assert page.locator(".badge").all_inner_texts() == ["✓ Sent"] * 5
    follow(page.locator("#result_list tbody tr:last-child .field-message a"))
    frame = page.frame_locator("iframe.email-frame")
    assert frame.locator("h1").inner_text() == "Welcome: an account was created for you"
    context.close()
    log: list[dict[str, str]] = site.python(LOG)
    assert [email["kind"] for email in log] == STORY
    return log


def test_through_an_esp(esp_site: tuple[RunningSite, LoopbackESP], browser: Browser) -> None:
    site, esp = esp_site
    log = {email["ref"]: email for email in told(site, browser)}
    received = {message["Metadata"]["ref"]: message for message in esp.accepted}
    for ref, email in log.items():
        message = received[ref]
        assert (message["Subject"], message["TextBody"], message["HtmlBody"]) == (
            email["subject"],
            email["text"],
            email["html"],
        )
        assert message["Tag"] == email["kind"]
    assert len(esp.refs) == len(set(esp.refs))


def test_through_smtp(smtp_site: tuple[RunningSite, SMTPSink], browser: Browser) -> None:
    site, sink = smtp_site
    log = told(site, browser)
    received = {message["Message-ID"].partition("@")[0].strip("<"): message for message in sink.messages}
    for email in log:
        equal(received[email["ref"]], email)
    assert len(received) == len(sink.messages)


def test_through_the_console(console_site: RunningSite, browser: Browser) -> None:
    log = told(console_site, browser)
    received = printed(console_site.output.read_text())
    for email in log:
        (message,) = received[email["ref"]]
        equal(message, email)


def printed(output: str) -> dict[str, list[Any]]:
    """The messages on standard output by reference, between which the processes log their own lines."""
    own = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:|\[\d\d/)")
    lines = [line for line in output.splitlines(keepends=True) if not own.match(line)]
    found: dict[str, list[Any]] = {}
    for chunk in "".join(lines).split("-" * 79 + "\n"):
        start = chunk.find("Content-Type: multipart/alternative")
        if start >= 0:
            message = message_from_bytes(chunk[start:].encode(), policy=policy.default)
            found.setdefault(message["Message-ID"].partition("@")[0].strip("<"), []).append(message)
    return found


def equal(message: Any, email: dict[str, str]) -> None:
    """Assert that what arrived is what the log shows: subject, text and HTML."""
    text, html = (message.get_body((part,)).get_content().replace("\r\n", "\n") for part in ("plain", "html"))
    assert message["Subject"] == email["subject"]
    assert message["Auto-Submitted"] == "auto-generated"
    assert (text.strip(), html.strip()) == (email["text"].strip(), email["html"].strip())


DUE_NOW = """
from django.utils import timezone
from emails.models import EmailLog
EmailLog.objects.filter(state="retrying").update(run_at=timezone.now())
"""


@pytest.mark.parametrize("down", ["refusing", "failing", "hanging"])
def test_with_the_provider_down_clicks_do_not_wait_and_nothing_is_lost(
    tmp_path: Path, browser: Browser, down: str
) -> None:
    back, port = threading.Event(), free_port()
    provider = {"EMAIL_PROVIDER": "postmark", "POSTMARK_SERVER_TOKEN": "t", "EMAIL_TIMEOUT": "120"}
    provider["POSTMARK_API_URL"] = f"http://127.0.0.1:{port}/"

    def fault(number: int) -> int | None:
        if down == "hanging":
            back.wait(90)
        return None if back.is_set() else 503

    with ExitStack() as stack:
        esp = None if down == "refusing" else stack.enter_context(LoopbackESP(port))
        if esp is not None:
            esp.fault = fault
        site = RunningSite(tmp_path, PORT=str(free_port()), **provider)
        site.demo = down != "hanging"  # The demo sends its mail before it ends.
        stack.enter_context(site)
        page = site.sign_in(browser.new_context().new_page())
        assert len(tell(page, site.url)) == 5
        page.context.close()
        assert esp is None or esp.accepted == []
        assert "sent" not in site.states()

        back.set()
        esp = esp or stack.enter_context(LoopbackESP(port))

        def all_sent() -> bool:
            site.python(DUE_NOW)  # Instead of waiting for the back-off.
            return set(site.states()) == {"sent"}

        site.wait_until(all_sent, seconds=60)
        assert len(esp.refs) == len(set(esp.refs)) == site.states()["sent"]
