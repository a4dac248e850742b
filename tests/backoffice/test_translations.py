"""German is complete, and what is compiled is what is written."""

from pathlib import Path

import polib
import pytest
from django.conf import settings

CATALOGUE = Path(settings.BASE_DIR) / "locale" / "de" / "LC_MESSAGES" / "django.po"


def test_every_text_is_translated() -> None:
    catalogue = polib.pofile(str(CATALOGUE))
    assert [entry.msgid for entry in catalogue.untranslated_entries()] == []
    assert [entry.msgid for entry in catalogue.fuzzy_entries()] == []


def test_the_compiled_catalogue_is_up_to_date() -> None:
    written = {e.msgid: e.msgstr or e.msgstr_plural for e in polib.pofile(str(CATALOGUE))}
    compiled = {e.msgid: e.msgstr or e.msgstr_plural for e in polib.mofile(str(CATALOGUE.with_suffix(".mo")))}
    assert compiled == written


@pytest.mark.parametrize("entry", polib.pofile(str(CATALOGUE)), ids=lambda entry: entry.msgid[:40])
def test_placeholders_and_markup_survive_translation(entry: polib.POEntry) -> None:
    for mark in ("%(username)s", "%(site_url)s", "%(name)s", "%(time)s", "%(provider)s", "<strong>", "{}", "%d"):
        for text in [entry.msgstr] if entry.msgstr else entry.msgstr_plural.values():
            assert entry.msgid.count(mark) == text.count(mark)
