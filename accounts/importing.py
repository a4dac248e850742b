"""People from a file: read, checked row by row, looked at by staff, then saved slice by slice (accounts/batches.py)."""

import csv
import io
import zipfile
from typing import Any

import tablib
from django.utils.translation import gettext as _

from accounts import lifecycle
from accounts.models import Batch, PersonEvent, User
from accounts.resources import COLUMNS, NotYours, PersonResource
from accounts.unticking import unticking
from emails.cause import caused_by, suppress_emails
from emails.payload import storable

IMPORT = "import"
BYTES, UNPACKED, ROWS = 10_000_000, 200_000_000, 20_000  # At most.
SAMPLES = 50  # Rows of each sort that staff see before they confirm.


class Unreadable(Exception):
    """The file can't be read as people; the text says what to change."""


def read(name: str, content: bytes) -> list[dict[str, str]]:
    """The rows of a CSV or XLSX file. Raises Unreadable."""
    if len(content) > BYTES:
        raise Unreadable(_("The file is larger than 10 MB: cut it into several."))
    try:
        table = from_xlsx(content) if name.lower().endswith(".xlsx") else from_csv(content)
    except Unreadable:
        raise
    except Exception as error:
        raise Unreadable(_("The file can't be read: save it as CSV (UTF-8) or XLSX.")) from error
    headers = [str(header or "").strip().lower() for header in (table.headers or [])]
    unknown = [header for header in headers if header not in COLUMNS]
    if unknown or "username" not in headers or len(set(headers)) != len(headers):
        known = ", ".join(COLUMNS)
        raise Unreadable(_("The first row has to name columns, “username” among them, out of: %s") % known)
    if len(table) > ROWS:
        raise Unreadable(_("The file has more than %d rows: cut it into several.") % ROWS)
    rows = [dict(zip(headers, (as_text(cell) for cell in row), strict=False)) for row in table]
    return [row for row in rows if any(row.values())]


def from_csv(content: bytes) -> Any:
    text = content.decode("utf-8-sig")
    try:
        delimiter = csv.Sniffer().sniff(text[:4096], ",;\t").delimiter
    except csv.Error:
        delimiter = ","
    return tablib.Dataset().load(text, format="csv", delimiter=delimiter)


def from_xlsx(content: bytes) -> Any:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        if sum(part.file_size for part in packed.infolist()) > UNPACKED:
            raise Unreadable(_("The file is larger than 10 MB: cut it into several."))
    return tablib.Dataset().load(content, format="xlsx")


def as_text(cell: Any) -> str:
    return "" if cell is None else storable(str(cell)).strip()[:1000]


def begin(rows: list[dict[str, str]], actor: Any, cause: str) -> Batch:
    """Have the rows checked; nothing is saved before staff have seen what they come to."""
    seen: dict[tuple[str, str], int] = {}
    for number, row in enumerate(rows, 2):  # As a spreadsheet counts them.
        row["#"] = str(number)
        for name in ("username", "email"):
            value = row.get(name, "").lower()
            if value and seen.setdefault((name, value), number) != number:
                row["!"] = _("The same %(column)s stands in row %(row)d.") % {
                    "column": name,
                    "row": seen[name, value],
                }
    batch = Batch(
        what=IMPORT, state=Batch.State.CHECKING, actor_id=actor.pk, actor_label=str(actor), cause=cause, options={}
    )
    batch.begin(rows)
    return batch


def go_on(batch: Batch) -> None:
    """Check, or save, the next few rows."""
    rows, checking = batch.next_items, batch.state == Batch.State.CHECKING
    actor = User.objects.filter(pk=batch.actor_id or 0, is_active=True).first()
    for row in rows:
        row.setdefault("!", "" if actor is not None else _("Whoever began this may not do it any more."))
    good = [row for row in rows if not row["!"]]
    for row in rows:
        if row["!"]:
            batch.complain(row["#"], row["!"])
            batch.move(0, invalid=1)
    if good:
        bring_in(batch, good, actor, checking=checking)
    batch.move(len(rows))
    if batch.done >= batch.total:
        with caused_by(batch.cause, actor):
            end(batch)


def bring_in(batch: Batch, rows: list[dict[str, str]], actor: Any, *, checking: bool) -> None:
    resource = PersonResource(actor)
    names = [name for name in rows[0] if name in COLUMNS]
    table = tablib.Dataset(*[[row.get(name, "") for name in names] for row in rows], headers=names)
    invite = batch.options.get("invite", False)
    with caused_by(batch.cause, actor), unticking(batch.actor_label, batch.options.get("unticked", [])):
        if invite:
            with suppress_emails(lifecycle.INVITED_INSTEAD, kinds=["welcome"]):
                result = resource.import_data(table, dry_run=checking, use_transactions=False)
            for person in resource.created:
                lifecycle.invite(person)
        else:
            result = resource.import_data(table, dry_run=checking, use_transactions=False)
    for row, one in zip(rows, result.rows, strict=True):
        note(batch, row, one, checking=checking)


def note(batch: Batch, row: dict[str, str], result: Any, *, checking: bool) -> None:
    """Count what came of a row; while checking, keep some to be looked at."""
    words = why(result)
    if words:
        batch.complain(row["#"], words)
        batch.move(0, invalid=1)
        return
    kind = {"new": "new", "update": "changed", "skip": "unchanged"}[result.import_type]
    batch.move(0, **{kind: 1})
    samples = batch.options.setdefault(kind, [])
    if checking and kind != "unchanged" and len(samples) < SAMPLES:
        samples.append([row["#"], row["username"], differences(result) if kind == "changed" else row.get("email", "")])


def why(result: Any) -> str:
    if result.validation_error is not None:
        error = result.validation_error
        if hasattr(error, "error_dict"):
            return "; ".join(f"{name}: {' '.join(said)}" for name, said in error.message_dict.items())
        return "; ".join(error.messages)
    # What the database says may quote a row.
    errors = [error.error for error in result.errors]
    return "; ".join(str(error) if isinstance(error, NotYours) else type(error).__name__ for error in errors)


def differences(result: Any) -> str:
    before, after = result.original, result.instance
    changed = [name for name in COLUMNS if name != "groups" and getattr(before, name) != getattr(after, name)]
    return ", ".join(f"{name}: {getattr(before, name)} → {getattr(after, name)}" for name in changed) or "groups"


def end(batch: Batch) -> None:
    if batch.state == Batch.State.CHECKING:
        batch.state, batch.done = Batch.State.READY, 0
        return
    PersonEvent.note(PersonEvent.Type.IMPORTED, None, **batch.counts)
    for kind in ("new", "changed"):  # What was looked at is personal, and known elsewhere by now.
        batch.options.pop(kind, None)
    batch.finish(Batch.State.FINISHED)


def confirm(batch: Batch, *, invite: bool, unticked: list[str]) -> bool:
    """Let a checked import be carried out; False where somebody has done so, or it is not checked yet."""
    ready = Batch.objects.filter(pk=batch.pk, state=Batch.State.READY)
    options = {**batch.options, "invite": invite, "unticked": unticked}
    begun = ready.update(state=Batch.State.RUNNING, options=options, counts={}, problems=[])
    return bool(begun)
