"""The database's own guard over the last active superuser: no form, no shell and no two at once can remove it."""

from emails.models.guard import put_in_place

NAME = "accounts_last_superuser"
WORDS = "the last active superuser has to stay"
STAYS = "NEW.is_superuser AND NEW.is_active"


def install(using: str, table: str) -> None:
    put_in_place(using, table, {"postgresql": for_postgresql, "sqlite": for_sqlite})


def another(table: str) -> str:
    return f"EXISTS (SELECT 1 FROM {table} WHERE is_superuser AND is_active AND id <> OLD.id)"


def for_sqlite(table: str) -> list[str]:
    """For updates. Deletions are watched by Django's signals alone: `manage.py flush` deletes row by row here."""
    return [
        f"DROP TRIGGER IF EXISTS {NAME}",
        f"CREATE TRIGGER {NAME} BEFORE UPDATE OF is_superuser, is_active ON {table} "
        f"WHEN OLD.is_superuser AND OLD.is_active AND NOT ({STAYS}) AND NOT {another(table)} "
        f"BEGIN SELECT RAISE(ABORT, '{WORDS}'); END",
    ]


def for_postgresql(table: str) -> list[str]:
    """One at a time: the lock makes a second removal wait, and see what the first one has left.

    After and not before the change: a trigger before it would lock the row more strongly than an UPDATE does, against
    those who refer to it, and two members of staff who edit each other would deadlock.
    """
    going = "OLD.is_superuser AND OLD.is_active"
    return [
        f"CREATE OR REPLACE FUNCTION {NAME}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"PERFORM pg_advisory_xact_lock(hashtext('{NAME}')); "
        f"IF NOT {another(table)} THEN RAISE check_violation USING MESSAGE = '{WORDS}'; END IF; "
        "RETURN NULL; END $$",
        f"DROP TRIGGER IF EXISTS {NAME}_update ON {table}",
        f"CREATE TRIGGER {NAME}_update AFTER UPDATE OF is_superuser, is_active ON {table} FOR EACH ROW "
        f"WHEN ({going} AND NOT ({STAYS})) EXECUTE FUNCTION {NAME}()",
        f"DROP TRIGGER IF EXISTS {NAME}_delete ON {table}",
        f"CREATE TRIGGER {NAME}_delete AFTER DELETE ON {table} FOR EACH ROW WHEN ({going}) EXECUTE FUNCTION {NAME}()",
    ]
