"""New rows by functions of PostgreSQL's own, which each of its sessions plans once, behind a pooler too.

Of the time that a message and its parts took it, half went into reading and planning the same three statements anew.

A function is made after migrations and named after its definition, so that processes of an older version go on with
theirs. Where one is missing (a database that was put together by hand), the rows are written in plain statements.
"""

import hashlib
from functools import cache
from typing import Any

from django.db import ProgrammingError, connections

from emails.rows import Insert, column_type
from emails.script import Statement

SMALL = {"smallint": "integer"}  # PostgreSQL reads a small number as an integer, and would find no such function.
UNDEFINED_FUNCTION = "42883"  # https://www.postgresql.org/docs/current/errcodes-appendix.html


def install(*inserts: Insert) -> None:
    """Make the functions by which these rows can be written; nothing on another database than PostgreSQL."""
    for insert in inserts:
        connection = connections[insert.using]
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(f"CREATE OR REPLACE FUNCTION {name(insert)}{definition(insert)}")


@cache
def name(insert: Insert) -> str:
    digest = hashlib.blake2s(definition(insert).encode(), digest_size=6).hexdigest()
    return f"{insert.model._meta.db_table}_new_{digest}"


def definition(insert: Insert) -> str:
    """What follows the function's name: a parameter for each column, in the order of `insert.names`."""
    options, quote = insert.model._meta, connections[insert.using].ops.quote_name
    types = [column_type(field, insert.using) for field in insert.fields]
    parameters = ", ".join(SMALL.get(of_column, of_column) for of_column in types)
    columns = ", ".join(quote(str(field.column)) for field in insert.fields)
    values = ", ".join(f"${number}" for number in range(1, len(types) + 1))
    key = column_type(options.pk, insert.using)
    return (
        f"({parameters}) RETURNS {key} LANGUAGE plpgsql AS $$ DECLARE made {key}; BEGIN "
        f"INSERT INTO {quote(options.db_table)} ({columns}) VALUES ({values}) "
        f"RETURNING {quote(str(options.pk.column))} INTO made; RETURN made; END $$"  # type: ignore[union-attr]
    )


def call(insert: Insert, one: Any, **columns: str) -> Statement:
    """The SQL that inserts one instance and gives its primary key; `columns` are those whose SQL the caller knows.

    Values that are nothing stand in the SQL: a driver takes its time over each parameter, and psycopg parses a query of
    more than fifty anew (MAX_CACHED_STATEMENT_PARAMS).
    """
    places: list[str] = []
    values: list[Any] = []
    for attribute, prepare in zip(insert.names, insert.prepare, strict=True):
        value = getattr(one, attribute)
        literal = columns[attribute] if attribute in columns else nothing(value)
        if literal is None:
            values.append(prepare(value, connections[insert.using]) if prepare else value)
        places.append("%s" if literal is None else literal)
    return Statement(f"{name(insert)}({', '.join(places)})", values)


def nothing(value: Any) -> str | None:
    """The SQL of a value that is nothing; None for any other, which has to be a parameter."""
    if value is None:
        return "NULL"
    if value is False:
        return "FALSE"
    if isinstance(value, str) and not value:
        return "''"
    return "0" if type(value) is int and not value else None


def is_missing(error: ProgrammingError) -> bool:
    """Whether the error is that a function is not there."""
    return getattr(error.__cause__, "sqlstate", None) == UNDEFINED_FUNCTION
