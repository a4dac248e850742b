"""Somebody's browser, in each of the ways in which people look at a page."""

import os
from pathlib import Path
from typing import Any

import axe_playwright_python
from playwright.sync_api import Browser, Locator, Page

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
# What reaches beyond the right edge, where the page can be scrolled there.
WIDER = """document.documentElement.scrollWidth <= innerWidth ? [] : [document.documentElement.scrollWidth, innerWidth,
...[...document.querySelectorAll("*")].filter(e => e.getBoundingClientRect().right > innerWidth)
.map(e => e.outerHTML.slice(0, 80))]"""
FOLDER = os.environ.get("SCREENSHOTS", "")  # Where pictures of every page are kept, to be looked at.
LOOKS: dict[str, Any] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 360, "height": 740}},
    "without JavaScript": {"java_script_enabled": False},
}


def follow(link: Locator) -> None:
    """Click the first of these, and wait for the whole of the page it leads to.

    A click alone is over before: what is read next would be the old page's, or that of a new one without its styles.
    """
    with link.page.expect_navigation():
        link.first.click()


class Visitor:
    """Somebody's browser, which looks at every page it comes to: is it fit for everybody, does it fit?"""

    def __init__(self, browser: Browser, look: str) -> None:
        self.look, self.seen = f"{look} {id(self)}", 0
        self.scripts = look != "without JavaScript"
        self.page: Page = browser.new_context(**LOOKS.get(look, {})).new_page()
        self.errors: list[str] = []
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)

    def see(self, *, ask: bool = True) -> Page:
        """Look at the page; with `ask`, axe-core is asked for what shuts somebody out."""
        if FOLDER:
            self.seen += 1
            self.page.screenshot(path=Path(FOLDER) / f"{self.look}-{self.seen:03}.png", full_page=True)
        assert self.page.locator("h1").first.is_visible(), self.page.url
        if self.scripts and ask:
            self.page.evaluate(AXE)
            found = self.page.evaluate("axe.run({preload: false, resultTypes: ['violations']})")["violations"]
            bad = [(one["id"], one["nodes"][0]["target"]) for one in found if one["impact"] in {"serious", "critical"}]
            assert bad == [], (self.page.url, bad)
        if self.scripts:
            assert self.page.evaluate(WIDER) == [], self.page.url
        return self.page

    def go(self, url: str, *, ask: bool = True) -> Page:
        self.page.goto(url)
        return self.see(ask=ask)

    def press(self, name: str) -> Page:
        follow(self.page.locator("#content").get_by_role("button", name=name, exact=True))
        return self.see()

    def fill(self, **values: str) -> None:
        for name, value in values.items():
            self.page.fill(f"[name={name}]", value)
