"""CSV and XLSX files that staff upload: read row by row, never further than allowed, whatever is packed into them."""

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from django.utils.translation import gettext as _
from openpyxl import load_workbook

from accounts.resources import COLUMNS
from emails.payload import storable

BYTES, UNPACKED, ROWS, WIDTH, CELL = 10_000_000, 60_000_000, 20_000, 50, 1000  # At most.


class Unreadable(Exception):
    """The file can't be read as people; the text says what to change."""


def read(name: str, content: bytes) -> list[dict[str, str]]:
    """The rows of a CSV or XLSX file, each with its number in "#". Raises Unreadable."""
    if len(content) > BYTES:
        raise Unreadable(_("The file is larger than 10 MB: cut it into several."))
    try:
        table = list(islice(from_xlsx(content) if is_xlsx(name, content) else from_csv(content), ROWS + 2))
    except Unreadable:
        raise
    except Exception as error:
        raise Unreadable(_("The file can't be read: save it as CSV (UTF-8) or XLSX.")) from error
    headers = headers_of(table[0] if table else [])
    if len(table) > ROWS + 1:
        raise Unreadable(_("The file has more than %d rows: cut it into several.") % ROWS)
    rows = []
    for number, cells in enumerate(table[1:], 2):
        if any(cells[len(headers) :]):
            raise Unreadable(_("Row %d has more cells than the first row names columns.") % number)
        filled = cells[: len(headers)] + [""] * (len(headers) - len(cells))  # Spreadsheets leave out the last ones.
        rows.append({**dict(zip(headers, filled, strict=True)), "#": str(number)})
    rows = [row for row in rows if any(value for name, value in row.items() if name != "#")]
    if not rows:
        raise Unreadable(_("There is nobody in the file: below the first row, each row is a person."))
    return rows


def headers_of(cells: list[str]) -> list[str]:
    headers = [cell.lower() for cell in cells]
    while headers and not headers[-1]:
        headers.pop()
    known = ", ".join(COLUMNS)
    if unknown := [header for header in headers if header not in COLUMNS]:
        words = _("People have no column “%(unknown)s”. Name columns out of: %(known)s")
        raise Unreadable(words % {"unknown": "”, “".join(unknown), "known": known})
    if "username" not in headers:
        raise Unreadable(_("The first row has to name columns, “username” among them, out of: %s") % known)
    if len(set(headers)) != len(headers):
        raise Unreadable(_("Two columns have the same name: leave one out."))
    return headers


def is_xlsx(name: str, content: bytes) -> bool:
    return name.lower().endswith(".xlsx") or content.startswith(b"PK\x03\x04")


def from_csv(content: bytes) -> Iterator[list[str]]:
    """As spreadsheets write it: commas, semicolons or tabs; UTF-8, UTF-16 with its mark, or Windows' Latin-1."""
    text = decoded(content)
    if "\x00" in text:
        raise Unreadable(_("The file can't be read: save it as CSV (UTF-8) or XLSX."))
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    return cleaned(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def decoded(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252")  # Refuses some bytes: what is no text at all mostly has them.


def from_xlsx(content: bytes) -> Iterator[list[str]]:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        if sum(part.file_size for part in packed.infolist()) > UNPACKED:
            raise Unreadable(_("The file is larger than 10 MB: cut it into several."))
    sheet = load_workbook(io.BytesIO(content), read_only=True, data_only=True).worksheets[0]
    sheet.reset_dimensions()  # What the file says of its size may not be so.
    return cleaned(sheet.iter_rows(max_row=ROWS + 2, max_col=WIDTH, values_only=True))


def cleaned(rows: Iterable[Iterable[Any]]) -> Iterator[list[str]]:
    for row in rows:
        yield [as_text(cell) for cell in islice(row, WIDTH)]


def as_text(cell: Any) -> str:
    # Cut first: one text of a spreadsheet may stand in all its cells.
    return "" if cell is None else storable(str(cell)[:CELL]).strip()
