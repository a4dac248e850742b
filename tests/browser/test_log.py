"""The log, every state of a message, sending again and the report: fit for everybody, in every light and direction."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import RunningSite
from tests.browser.visitor import LOOKS, Visitor, follow
from tests.sink import free_port

LIST = "/admin/emails/emaillog/"
REPORT = "/admin/emails/emailreport/"
# One message of every status, and of what else a page can be.
SEED = """
from datetime import timedelta
from uuid import uuid4
from django.core.mail import EmailMultiAlternatives
from django.utils import timezone
from emails import seeding
from emails.models import Delivery, EmailAttachment, EmailEvent, EmailLog, EmailRecipient, Lane, State, Suppression
from emails.models import Tombstone
from emails.payload import dump

seeding.seed(400)
WORDS = "mailbox does not exist (550 5.1.1) and " + "a-very-long-word-of-a-server" * 4
now = timezone.now()

def one(state, delivery="", **columns):
    message = EmailMultiAlternatives("Your invoice 2026-118", "The text\\n", to=["Grace <grace@example.com>"])
    message.attach_alternative("<h1>Invoice</h1><img src='https://example.invalid/logo.png'>", "text/html")
    message.attach("invoice.pdf", b"%PDF", "application/pdf")
    payload = dump(message)
    email = EmailLog.objects.create(
        state=state, delivery=delivery, subject="Your invoice 2026-118", text=payload.text, html=payload.html,
        payload=payload.data, provider="postmark", sent_at=now - timedelta(hours=2), error=WORDS, attempts=1,
        created_at=now - timedelta(hours=2, seconds=3), message_id="<" + str(uuid4()) + "@example.com>",
        run_at=now + timedelta(days=1), changes={"last_name": ["Hopper", "Brewster Hopper"]}, cause="POST /admin/x/",
        user_label="Grace Hopper (grace)", from_email="Backoffice <backoffice@example.com>", **columns)
    EmailAttachment.objects.create(email=email, position=0, filename="invoice.pdf", mimetype="application/pdf",
        content=b"%PDF", size=4)
    to = EmailRecipient.objects.create(email=email, field="to", formatted="Grace <grace@example.com>",
        address="grace@example.com", delivery=delivery, delivery_at=now if delivery else None)
    for minutes in (1, 2) if delivery else ():
        EmailEvent.objects.create(email=email, recipient=to, type="deferred", reported=True, provider="postmark",
            occurred_at=email.sent_at + timedelta(minutes=minutes), dedupe_key=str(uuid4()), detail={"error": WORDS})
    if delivery:
        EmailEvent.objects.create(email=email, recipient=to, type=delivery, reported=True, provider="postmark",
            event_id="evt-" + "x" * 60, occurred_at=email.sent_at + timedelta(minutes=3), dedupe_key=str(uuid4()),
            detail={"error": WORDS, "reason": "bounced"})
    return email

found = {state: one(state) for state in State.values}
found |= {f"sent, {delivery}": one("sent", delivery) for delivery in Delivery.values if delivery}
found["again"] = one("queued", resend_of=found["failed"])
found["purged"] = one("sent", purged_at=now)
EmailLog.objects.filter(pk=found["purged"].pk).update(text="", html="", payload="")
Suppression.objects.create(address="grace@example.com", reason="bounced")
Tombstone.objects.create(day=now.date(), count=3, last_pk=0)
answer = {name: email.pk for name, email in found.items()}
"""


@pytest.fixture(scope="module")
def arabic_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    folder = tmp_path_factory.mktemp("arabic")
    with RunningSite(folder, PORT=str(free_port()), DJANGO_SETTINGS_MODULE="tests.arabic") as site:
        yield site


def paths(found: dict[str, int]) -> list[str]:
    """Every page about messages, in each of its states."""
    bounced, failed = found["sent, bounced"], found["failed"]
    of_body = ("show=text", "show=source", "show=headers", "width=360&look=dark", "width=600&look=light", "images=on")
    return [
        "/admin/",
        LIST,
        *(f"{LIST}?status={name}" for name in ("attention", "waiting")),
        f"{LIST}?q=to:grace@example.com+kind:other+status:bounced",
        f"{LIST}?q=from:ada+status:lost",
        f"{LIST}?q=nobody@example.com",
        *(f"{LIST}{pk}/change/" for pk in found.values()),
        *(f"{LIST}{bounced}/change/?{query}" for query in of_body if query != "images=on"),
        f"{LIST}{bounced}/resend/",
        f"{LIST}{failed}/resend/",
        f"{LIST}{found['queued']}/resend/",
        REPORT,
        f"{REPORT}?first=2020-01-01&last=2020-01-02",
        f"{REPORT}?first=yesterday",
        "/admin/emails/health/",
        "/admin/emails/lane/",
        "/admin/emails/suppression/",
        "/admin/emails/legalhold/",
        "/admin/emails/emailkindswitch/",
    ]


@pytest.fixture(scope="module")
def seeded(console_site: RunningSite) -> dict[str, int]:
    found: dict[str, int] = console_site.python(SEED)
    return found


@pytest.fixture(scope="module")
def arabic(arabic_site: RunningSite) -> dict[str, int]:
    found: dict[str, int] = arabic_site.python(SEED)
    return found


def look_at_all(site: RunningSite, visitor: Visitor, found: dict[str, int], *, once: bool = False) -> None:
    """See every page in every state, or `once`; what shuts somebody out is asked for once, in light and dark each time.

    What the frame refuses to fetch is told by the browser as an error, which is as it should be.
    """
    requests: list[str] = []
    visitor.page.on("request", lambda request: requests.append(request.url))
    site.sign_in(visitor.page)
    asked: set[str] = set()
    for path in paths(found):
        page = re.sub(r"\d+", "", path)
        if once and page in asked:
            continue
        visitor.go(site.url + path, ask=page not in asked or visitor.look.startswith(("light", "dark")))
        asked.add(page)
    refused = "https://example.invalid/logo.png"
    assert [error for error in visitor.errors if refused not in error] == []
    assert [url for url in requests if not url.startswith((site.url, "data:")) and url != refused] == []


@pytest.mark.parametrize("look", LOOKS)
def test_every_state_is_fit_for_everybody(
    console_site: RunningSite, seeded: dict[str, int], browser: Browser, look: str
) -> None:
    visitor = Visitor(browser, look)
    look_at_all(console_site, visitor, seeded)
    visitor.page.context.close()


@pytest.mark.parametrize("look", ["wide", "phone"])
def test_every_state_is_fit_from_right_to_left(
    arabic_site: RunningSite, arabic: dict[str, int], browser: Browser, look: str
) -> None:
    visitor = Visitor(browser, look)
    look_at_all(arabic_site, visitor, arabic, once=look == "phone")
    assert visitor.page.locator("html").get_attribute("dir") == "rtl"
    visitor.page.context.close()


def test_an_empty_log_says_what_to_do(tmp_path: Path, browser: Browser) -> None:
    site = RunningSite(tmp_path, PORT=str(free_port()))
    site.demo = False
    with site:
        site.python("from emails.models import EmailLog; EmailLog.objects.all().delete()")
        visitor = Visitor(browser, "light")
        site.sign_in(visitor.page)
        page = visitor.go(site.url + LIST)
        assert "No email yet" in page.locator(".nothing").inner_text()
        follow(page.locator("text=Send a test email"))
        assert page.url.endswith("/admin/emails/health/")
        visitor.go(site.url + REPORT)
        assert visitor.errors == []
        page.context.close()


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without"])
def test_what_it_says_is_asked_for_by_links(
    console_site: RunningSite, seeded: dict[str, int], browser: Browser, javascript: bool
) -> None:
    context = browser.new_context(java_script_enabled=javascript, color_scheme="light")
    page = console_site.sign_in(context.new_page())
    page.goto(f"{console_site.url}{LIST}{seeded['sent, bounced']}/change/")
    content: Any = page.locator("#content-of-email")
    for tab, words in (("Text", "The text"), ("Source", "<h1>Invoice</h1>"), ("Headers", "Grace <grace@example.com>")):
        follow(content.get_by_role("link", name=tab, exact=True))
        assert words in content.inner_text()
    follow(content.get_by_role("link", name="HTML", exact=True))
    assert page.frame_locator("iframe.email-frame").locator("h1").inner_text() == "Invoice"
    follow(content.get_by_role("link", name="Phone", exact=True))
    # With its border of one pixel on each side.
    assert page.locator("iframe.email-frame").bounding_box()["width"] == 362  # type: ignore[index]
    follow(content.get_by_role("link", name="Dark", exact=True))
    assert "look=dark" in page.url
    assert "width=360" in page.url
    context.close()


def test_the_dark_look_is_what_a_dark_device_shows(console_site: RunningSite, browser: Browser) -> None:
    pk = console_site.python(
        "from emails.models import EmailLog\n"
        "answer = EmailLog.objects.filter(kind='welcome', state='sent').exclude(html='').first().pk"
    )
    colours = {}
    for device in ("light", "dark"):
        page = console_site.sign_in(browser.new_context(color_scheme=device).new_page())  # type: ignore[arg-type]
        for look in ("", "light", "dark"):
            page.goto(f"{console_site.url}{LIST}{pk}/change/?look={look}")
            body = page.frame_locator("iframe.email-frame").locator("body")
            colours[device, look] = body.evaluate("body => getComputedStyle(body).backgroundColor")
        page.context.close()
    assert colours["light", "dark"] == colours["dark", "dark"] != colours["light", "light"] == colours["dark", "light"]


def test_it_is_sent_again_by_keyboard_alone(console_site: RunningSite, browser: Browser) -> None:
    pk = console_site.python(
        "from emails.models import EmailLog\n"
        "answer = EmailLog.objects.filter(kind='update_notice', state='sent').exclude(html='').first().pk"
    )
    page = console_site.sign_in(browser.new_context().new_page())
    page.goto(f"{console_site.url}{LIST}{pk}/change/")
    press_on(page, "Send again…")
    page.wait_for_url("**/resend/")
    page.locator("#id_way_0").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.type("right@example.com")
    page.keyboard.press("Tab")
    page.keyboard.type("She has moved.")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert "Sent again as" in page.locator(".messagelist").inner_text()
    assert "right@example.com" in page.locator(".email-about").inner_text()
    assert page.locator(".email-chain li").count() == 2
    page.context.close()


def press_on(page: Page, name: str) -> None:
    """Go by Tab until the focus is there, and press Enter: what can't be reached so is not there for some."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == name:
            page.keyboard.press("Enter")
            return
    raise AssertionError(f"{name} can't be reached by keyboard")


def test_times_are_the_readers(console_site: RunningSite, seeded: dict[str, int], browser: Browser) -> None:
    page = console_site.sign_in(browser.new_context(timezone_id="Asia/Tokyo").new_page())
    page.goto(f"{console_site.url}{LIST}{seeded['sent']}/change/")
    assert "JST" in page.locator(".email-timeline").inner_text()
    page.context.close()
