"""What a member of staff does with one person, from the first click to the last, as a browser does it."""

from playwright.sync_api import Page

from tests.browser.visitor import follow

STORY = ["welcome", "update_notice", "deactivated", "deletion_notice", "account_deleted"]


def create(page: Page, url: str) -> None:
    page.goto(f"{url}/admin/accounts/user/add/")
    page.fill("#id_username", "rosa")
    page.fill("#id_email", "rosa@example.com")
    page.fill("#id_first_name", "Rosa")
    page.fill("#id_last_name", "Lopéz & Søn")
    page.uncheck("#id_send_invitation")  # Else the invitation comes in place of the welcome.
    follow(page.locator("[name=_continue]"))


def edit(page: Page) -> None:
    page.fill("#id_first_name", "Rosalinda")
    follow(page.locator("[name=_continue]"))


def deactivate(page: Page) -> None:
    page.uncheck("#id_is_active")
    follow(page.locator("[name=_continue]"))


def delete(page: Page) -> None:
    follow(page.locator(".deletelink"))
    follow(page.locator("#content [type=submit]"))


def announced(page: Page) -> list[str]:
    """The messages on the page that tell of emails."""
    return [text for text in page.locator(".messagelist li").all_inner_texts() if "Email" in text]


def tell(page: Page, url: str) -> list[str]:
    """The whole story; returns what staff were told on the way."""
    told = []
    create(page, url)
    told += announced(page)
    for step in (edit, deactivate, delete):
        step(page)
        told += announced(page)
    return told
