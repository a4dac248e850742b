"""Several statements as one message to PostgreSQL: a round trip for each would take longer than what they do."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import DataError, connections


class Statement(NamedTuple):
    """SQL, and what fills its placeholders."""

    sql: str
    values: Sequence[Any]


def takes_several(using: str) -> bool:
    """Whether the driver takes several statements in one message: psycopg 3 does, where it binds the values itself."""
    connection: Any = connections[using]
    binds = not connection.settings_dict["OPTIONS"].get("server_side_binding")
    return connection.vendor == "postgresql" and connection.Database.__name__ == "psycopg" and binds


def at_once(using: str, *statements: Statement) -> list[list[Any]]:
    """Execute all or none in the transaction that is open; returns the first column of each one's answer.

    Raises what the database raises: then the transaction is as it was before, and stays usable. Where nobody knows
    whether they were executed (something between us and the driver has failed), it can't be committed any more.
    """
    connection = connections[using]
    script = "; ".join(["SAVEPOINT at_once", *(sql for sql, _ in statements), "RELEASE SAVEPOINT at_once"])
    answers = []
    try:
        with connection.cursor() as cursor:
            cursor.execute(script, [value for _, values in statements for value in values])
            for _ in statements:
                cursor.nextset()
                answers.append([first for first, *_ in cursor.fetchall()] if cursor.description else [])
    except BaseException as error:
        if not taken_back(connection) and not isinstance(error, DataError):  # What psycopg refuses was never sent.
            connection.needs_rollback = True
        raise
    return answers


def taken_back(connection: Any) -> bool:
    """Go back to before the script, where the server has begun it and refused a part of it."""
    try:
        if connection.connection.info.transaction_status.name != "INERROR":
            return False
        with connection.cursor() as cursor:
            cursor.execute("ROLLBACK TO SAVEPOINT at_once; RELEASE SAVEPOINT at_once")
    except Exception:
        connection.needs_rollback = True  # As Django does: nothing may seem to be committed that is lost.
    return True
