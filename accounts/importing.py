"""People from a file: read, checked row by row, looked at by staff, then saved slice by slice (accounts/batches.py)."""

from typing import Any

import tablib
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _

from accounts import lifecycle, policy
from accounts.models import Batch, PersonEvent, User
from accounts.resources import COLUMNS, NotYours, PersonResource
from accounts.unticking import unticking
from emails.cause import caused_by
from emails.models import EmailKindSwitch, State
from emails.recording import recorded_by

IMPORT = "import"
SAMPLES = 50  # Rows of each sort that staff see before they confirm.


def begin(rows: list[dict[str, str]], actor: Any, cause: str) -> Batch:
    """Have the rows checked; nothing is saved before staff have seen what they come to."""
    seen: dict[tuple[str, str], int] = {}
    for row in rows:
        number = int(row["#"])
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
    """Check, or save, the next few rows; what is wrong with them is told in the language of who brought them."""
    with translation.override(batch.actor.language if batch.actor else None):
        take(batch)


def take(batch: Batch) -> None:
    rows, checking = batch.next_items, batch.state == Batch.State.CHECKING
    actor = User.objects.filter(pk=batch.actor_id or 0, is_active=True, is_staff=True).first()
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
    """Save the rows; while checking, only to see what becomes of them and which emails that leads to."""
    invite = batch.options.get("invite", False) and actor.has_perm(policy.NEEDS["invite"])
    resource = PersonResource(actor, invite=invite and "invitation" in EmailKindSwitch.enabled_keys())
    names = [name for name in rows[0] if name in COLUMNS]
    table = tablib.Dataset(*[[row.get(name, "") for name in names] for row in rows], headers=names)
    with (
        caused_by(batch.cause, actor) as cause,
        unticking(batch.options.get("unticked", [])),
        transaction.atomic(),
    ):
        result = resource.import_data(table, use_transactions=False)
        for person in resource.invited:
            lifecycle.invite(person)
        if checking:
            mails = batch.options.setdefault("mails", {})
            for told in recorded_by(cause):
                fate = told.kind if told.state == State.QUEUED else told.error
                mails[fate] = mails.get(fate, 0) + 1
            transaction.set_rollback(True)
    with caused_by(batch.cause, actor):
        for person, said in resource.refused if checking else ():
            policy.deny(actor, "change", person, said)
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
        samples.append([row["#"], row["username"], differences(result) if kind == "changed" else values(row)])


def why(result: Any) -> str:
    if result.validation_error is not None:
        error = result.validation_error
        if hasattr(error, "error_dict"):
            return "; ".join(f"{name}: {' '.join(said)}" for name, said in error.message_dict.items())
        return "; ".join(error.messages)
    # What the database says may quote a row.
    errors = [error.error for error in result.errors]
    return "; ".join(str(error) if isinstance(error, NotYours) else type(error).__name__ for error in errors)


def values(row: dict[str, str]) -> str:
    return ", ".join(f"{name}: {row[name]}" for name in COLUMNS if name != "username" and row.get(name))


def differences(result: Any) -> str:
    before, after = result.original, result.instance
    changed = {
        name: (getattr(before, name), getattr(after, name))
        for name in COLUMNS
        if name != "groups" and getattr(before, name) != getattr(after, name)
    }
    if result.groups is not None:
        changed["groups"] = tuple(", ".join(names) or "–" for names in result.groups)  # type: ignore[assignment]
    return ", ".join(f"{name}: {old} → {new}" for name, (old, new) in changed.items())


def end(batch: Batch) -> None:
    if batch.state == Batch.State.CHECKING:
        batch.state, batch.done = Batch.State.READY, 0
        return
    PersonEvent.note(PersonEvent.Type.IMPORTED, None, **batch.counts)
    for kind in ("new", "changed", "mails"):  # What was looked at is personal, and known elsewhere by now.
        batch.options.pop(kind, None)
    batch.finish(Batch.State.FINISHED)


def discard(batch: Batch) -> bool:
    """Forget a checked file; False where it is not there to be forgotten any more."""
    with transaction.atomic():
        ready = Batch.objects.select_for_update().filter(pk=batch.pk, state=Batch.State.READY).first()
        if ready is None:
            return False
        ready.options = {}
        ready.finish(Batch.State.DISCARDED)
        ready.save()
    return True


def confirm(batch: Batch, *, invite: bool, unticked: list[str]) -> bool:
    """Let a checked import be carried out; False where somebody has done so, or it is not checked yet."""
    ready = Batch.objects.filter(pk=batch.pk, state=Batch.State.READY)
    options = {**batch.options, "invite": invite, "unticked": unticked}
    begun = ready.update(state=Batch.State.RUNNING, options=options, counts={}, problems=[])
    return bool(begun)
