"""Makes the README's pictures: `make screenshots`."""

from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

from tests.browser.conftest import CHROMIUM, RunningSite
from tests.browser.visitor import follow
from tests.sink import free_port

UNSETTLED = "from emails.models import EmailLog; answer = EmailLog.objects.unsettled().count()"
IMAGES = Path(__file__).resolve().parent.parent.parent / "docs" / "images"


def main() -> None:
    port = str(free_port())
    with TemporaryDirectory() as folder, RunningSite(Path(folder), PORT=port) as site, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        # Before anybody looks: what the front page tells is a minute old at most.
        site.python("from emails import seeding\nseeding.seed(60_000)")
        context = chromium.new_context(viewport={"width": 1280, "height": 800})
        page = site.sign_in(context.new_page())
        page.goto(f"{site.url}/admin/accounts/user/?q=noor")
        follow(page.locator("#result_list .field-person a"))
        page.fill("#id_last_name", "Haddad-Weiss")
        follow(page.locator("[name=_save]"))
        site.wait_until(lambda: site.python(UNSETTLED) == 0)
        page.goto(f"{site.url}/admin/")
        page.screenshot(path=IMAGES / "front.png")
        page.goto(f"{site.url}/admin/emails/emaillog/")
        page.screenshot(path=IMAGES / "log.png")
        page.goto(f"{site.url}/admin/emails/emaillog/?q=to:noor@example.com")
        follow(page.locator("#result_list tbody tr:first-child .field-message a"))
        page.frame_locator("iframe.email-frame").locator("h1").wait_for()
        page.screenshot(path=IMAGES / "email.png", full_page=True)
        page.goto(f"{site.url}/admin/emails/emailreport/")
        while page.locator(".warning-line").count():  # Days are counted a few at a time.
            page.reload()
        page.screenshot(path=IMAGES / "report.png")
        chromium.close()
    for image in sorted(IMAGES.glob("*.png")):
        print(f"{image.relative_to(IMAGES.parent.parent)} ({image.stat().st_size // 1024} KB)")


if __name__ == "__main__":
    main()
