"""The database's own guard over the last active superuser: no form, no shell and no two at once can remove it."""

from emails.models.guard import put_in_place

NAME = "accounts_last_superuser"
WORDS = "the last active superuser has to stay"
# Both have to stay: a superuser who is not staff can't come into the admin to make another one.
KINDS = ("is_superuser AND is_active", "is_superuser AND is_active AND is_staff")


def install(using: str, table: str) -> None:
    put_in_place(using, table, {"postgresql": for_postgresql, "sqlite": for_sqlite})


def of(row: str, kind: str) -> str:
    """The condition on a trigger's OLD or NEW row."""
    return " AND ".join(f"{row}.{column}" for column in kind.split(" AND "))


def last(table: str, kind: str) -> str:
    return f"NOT EXISTS (SELECT 1 FROM {table} WHERE {kind} AND id <> OLD.id)"


def lost(kind: str) -> str:
    """Whether an update takes the row out of this kind."""
    return f"({of('OLD', kind)} AND NOT ({of('NEW', kind)}))"


def lift(using: str, table: str) -> None:
    """Take the guard away, for `manage.py flush`, which empties the table; `post_migrate` puts it back."""
    put_in_place(using, table, {"postgresql": lifted_on_postgresql, "sqlite": lifted_on_sqlite})


def lifted_on_sqlite(table: str) -> list[str]:
    return [f"DROP TRIGGER IF EXISTS {NAME}", f"DROP TRIGGER IF EXISTS {NAME}_delete"]


def lifted_on_postgresql(table: str) -> list[str]:
    return [f"DROP TRIGGER IF EXISTS {NAME}_{event} ON {table}" for event in ("update", "delete", "truncate")]


def for_sqlite(table: str) -> list[str]:
    gone = " OR ".join(f"({of('OLD', kind)} AND {last(table, kind)})" for kind in KINDS)
    return [
        *lifted_on_sqlite(table),
        f"CREATE TRIGGER {NAME}_delete BEFORE DELETE ON {table} WHEN {gone} BEGIN SELECT RAISE(ABORT, '{WORDS}'); END",
        f"CREATE TRIGGER {NAME} BEFORE UPDATE OF is_superuser, is_active, is_staff ON {table} "
        f"WHEN {' OR '.join(f'({lost(kind)} AND {last(table, kind)})' for kind in KINDS)} "
        f"BEGIN SELECT RAISE(ABORT, '{WORDS}'); END",
    ]


def for_postgresql(table: str) -> list[str]:
    """One at a time: the lock makes a second removal wait, and see what the first one has left.

    After and not before the change: a trigger before it would lock the row more strongly than an UPDATE does, against
    those who refer to it, and two members of staff who edit each other would deadlock.
    """
    gone = " OR ".join(f"({of('OLD', kind)} AND {last(table, kind)})" for kind in KINDS)
    changed = " OR ".join(f"({lost(kind)} AND {last(table, kind)})" for kind in KINDS)
    refuse = f"RAISE check_violation USING MESSAGE = '{WORDS}'"
    return [
        f"CREATE OR REPLACE FUNCTION {NAME}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"PERFORM pg_advisory_xact_lock(hashtext('{NAME}')); "
        f"IF TG_OP = 'TRUNCATE' THEN {refuse}; "
        f"ELSIF TG_OP = 'DELETE' THEN IF {gone} THEN {refuse}; END IF; "
        f"ELSIF {changed} THEN {refuse}; END IF; "
        "RETURN NULL; END $$",
        *lifted_on_postgresql(table),
        f"CREATE TRIGGER {NAME}_truncate BEFORE TRUNCATE ON {table} EXECUTE FUNCTION {NAME}()",
        f"CREATE TRIGGER {NAME}_update AFTER UPDATE OF is_superuser, is_active, is_staff ON {table} FOR EACH ROW "
        f"WHEN ({' OR '.join(map(lost, KINDS))}) EXECUTE FUNCTION {NAME}()",
        f"CREATE TRIGGER {NAME}_delete AFTER DELETE ON {table} FOR EACH ROW "
        f"WHEN ({of('OLD', KINDS[0])}) EXECUTE FUNCTION {NAME}()",
    ]
