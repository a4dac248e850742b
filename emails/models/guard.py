"""The database's own guard over the states: what TRANSITIONS does not allow, no code and no console can write."""

from collections.abc import Callable, Mapping

from django.db import connections

from emails.models.state import TRANSITIONS

NAME = "emails_log_transition"


def install(using: str, table: str) -> None:
    put_in_place(using, table, {"postgresql": for_postgresql, "sqlite": for_sqlite})


def put_in_place(using: str, table: str, by_vendor: Mapping[str, Callable[[str], list[str]]]) -> None:
    """Make triggers anew; after every migration, since SQLite's may have made the table anew.

    `by_vendor` are the functions that write them, as SQL statements, for a quoted table.
    """
    connection = connections[using]
    statements = by_vendor.get(connection.vendor)
    if statements is None:
        return
    with connection.cursor() as cursor:
        for statement in statements(connection.ops.quote_name(table)):
            cursor.execute(statement)


def allowed() -> str:
    return ", ".join(f"'{before}>{after}'" for before in TRANSITIONS for after in sorted(TRANSITIONS[before]))


def for_sqlite(table: str) -> list[str]:
    return [
        f"DROP TRIGGER IF EXISTS {NAME}",
        f"CREATE TRIGGER {NAME} BEFORE UPDATE OF state ON {table} "
        f"WHEN OLD.state <> NEW.state AND (OLD.state || '>' || NEW.state) NOT IN ({allowed()}) "
        "BEGIN SELECT RAISE(ABORT, 'an email can not go from this state to that one'); END",
    ]


def for_postgresql(table: str) -> list[str]:
    return [
        f"CREATE OR REPLACE FUNCTION {NAME}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE check_violation USING MESSAGE = "
        "format('an email can not go from %s to %s', OLD.state, NEW.state); END $$".replace("%", "%%"),
        f"DROP TRIGGER IF EXISTS {NAME} ON {table}",
        f"CREATE TRIGGER {NAME} BEFORE UPDATE OF state ON {table} FOR EACH ROW "
        f"WHEN (OLD.state <> NEW.state AND (OLD.state || '>' || NEW.state) NOT IN ({allowed()})) "
        f"EXECUTE FUNCTION {NAME}()",
    ]
