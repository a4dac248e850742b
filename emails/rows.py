"""Many rows in one statement, by SQL that is put into words once: the ORM would build it anew for every message.

PostgreSQL takes all rows as one JSON text, which its driver and the server read far faster than hundreds of parameters.
A tenth of what it takes to record a thousand messages would go into that text without orjson.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import orjson
from django.db import connections
from django.db.models import BinaryField, BooleanField, JSONField, Model, QuerySet, TextField
from django.db.models.fields import CharField, IntegerField

from emails.script import Statement

Prepare = Callable[[Any, Any], Any]
ROWS = 500  # At most, in one statement.
NOW = {"postgresql": "STATEMENT_TIMESTAMP()", "sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"}
PLAIN = (CharField, TextField, IntegerField, BooleanField)  # What every driver takes as it is.


class Insert:
    """`INSERT INTO` the table of `model`, for one database. Columns in `database_sets` are left to their defaults."""

    def __init__(self, model: type[Model], using: str, database_sets: Sequence[str] = ()) -> None:
        connection = connections[using]
        quote = connection.ops.quote_name
        key = model._meta.auto_field
        fields = [field for field in model._meta.concrete_fields if field is not key]
        fields = [field for field in fields if field.name not in database_sets]
        self.using = using
        self.names = [field.attname for field in fields]  # A foreign key's attribute and column have one name.
        self.prepare = [preparing(field) for field in fields]
        columns = ", ".join(quote(str(field.column)) for field in fields)
        self.head = f"INSERT INTO {quote(model._meta.db_table)} ({columns}) "
        self.row = f"({', '.join(['%s'] * len(fields))})"
        self.tail = f" RETURNING {quote(str(key.column))}" if key else ""
        most = connection.features.max_query_params
        self.rows = min(ROWS, most // len(fields)) if most else ROWS
        # One row alone is quicker as parameters, and bytes are no JSON.
        as_json = connection.vendor == "postgresql" and not any(isinstance(field, BinaryField) for field in fields)
        self.records = f"SELECT * FROM {records(fields, using)}" if as_json else ""
        self.nested = [field.attname for field in fields if isinstance(field, JSONField)]

    def __call__(self, instances: Sequence[Any]) -> None:
        """Insert the instances and set their primary keys, in the transaction that is open."""
        self.inserted(instances, self.values([[getattr(one, name) for name in self.names] for one in instances]))

    def statement(self, one: Any, source: str = "", given: Sequence[Any] = (), **columns: str) -> Statement:
        """What inserts one instance, for `at_once`; `inserted` is to be called with its answer.

        `source` is a FROM or WHERE of the database's own, `given` what fills its placeholders, and `columns` are those
        that it knows the value of. Values that are nothing stand in the SQL: a driver takes its time over each
        parameter, and psycopg parses a query of more than fifty anew (MAX_CACHED_STATEMENT_PARAMS).
        """
        places: list[str] = []
        values: list[Any] = []
        for name, prepare in zip(self.names, self.prepare, strict=True):
            value = getattr(one, name)
            literal = columns[name] if name in columns else nothing(value)
            if literal is None:
                values.append(prepare(value, connections[self.using]) if prepare else value)
            places.append("%s" if literal is None else literal)
        return Statement(f"{self.head}SELECT {', '.join(places)} {source}{self.tail}", [*values, *given])

    def inserted(self, instances: Sequence[Any], keys: Sequence[Any]) -> None:
        """Give the instances the keys under which they were inserted; none where the table makes none of its own."""
        for instance, key in zip(instances, keys, strict=bool(self.tail)):
            instance.pk = key
        for instance in instances:
            instance._state.adding, instance._state.db = False, self.using

    def values(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Insert rows of values, in the order of `names`, in the transaction that is open; returns their keys."""
        keys: list[Any] = []
        with connections[self.using].cursor() as cursor:
            for start in range(0, len(rows), self.rows):
                self.execute(cursor, rows[start : start + self.rows])
                keys += [key for (key,) in cursor.fetchall()] if self.tail else []
        return keys

    def execute(self, cursor: Any, rows: Sequence[Sequence[Any]]) -> None:
        if self.records and len(rows) > 1:
            cursor.execute(self.head + self.records + self.tail, [as_json(rows, self.names, self.nested)])
        else:
            values = "VALUES " + ", ".join([self.row] * len(rows))
            cursor.execute(self.head + values + self.tail, as_parameters(rows, self.prepare, self.using))


class Update:
    """One UPDATE that gives each row values of its own. `keep` are columns in which None leaves what is there.

    `match` are columns that must be equal. `where` is SQL that the rows to change must meet: {table} is theirs, {now}
    the database's time.
    """

    def __init__(
        self,
        model: type[Model],
        using: str,
        names: Sequence[str],
        keep: Sequence[str] = (),
        match: Sequence[str] = (),
        where: str = "",
        returning: Sequence[str] = (),
    ) -> None:
        connection = connections[using]
        quote = connection.ops.quote_name
        table = quote(model._meta.db_table)
        fields: list[Any] = [model._meta.get_field(name) for name in ("id", *match, *names)]
        columns = {field.name: quote(str(field.column)) for field in fields}
        self.using = using
        self.names = [str(field.column) for field in fields]
        self.nested = [str(field.column) for field in fields if isinstance(field, JSONField)]
        self.prepare = [preparing(field) for field in fields]
        self.row = f"({', '.join(['%s'] * len(fields))})"
        self.head = f"WITH new ({', '.join(columns.values())}) AS ("
        self.records = f"SELECT * FROM {records(fields, using)}" if connection.vendor == "postgresql" else ""
        values = [
            f"{columns[name]} = "
            + (f"COALESCE(new.{columns[name]}, {table}.{columns[name]})" if name in keep else f"new.{columns[name]}")
            for name in names
        ]
        conditions = [f"{table}.{columns[name]} = new.{columns[name]}" for name in ("id", *match)]
        # Named once more: PostgreSQL guesses that a JSON text holds a hundred rows, and would search all the table.
        conditions += [f"{table}.id = ANY(%s::bigint[])"] if self.records else []
        conditions += [where.format(table=table, now=NOW[connection.vendor])] if where else []
        read = [f"{table}.{quote(str(model._meta.get_field(name).column))}" for name in ("id", *returning)]  # type: ignore[union-attr]
        self.tail = f") UPDATE {table} SET {', '.join(values)} FROM new WHERE {' AND '.join(conditions)}"
        self.tail += f" RETURNING {', '.join(read)}"

    def __call__(self, rows: Sequence[Sequence[Any]]) -> dict[Any, tuple[Any, ...]]:
        """Write the rows, each `(pk, *match, *names)`; returns those that were changed, {pk: (*returning)}."""
        if not rows:
            return {}
        with connections[self.using].cursor() as cursor:
            if self.records:
                keys = [row[0] for row in rows]
                cursor.execute(self.head + self.records + self.tail, [as_json(rows, self.names, self.nested), keys])
            else:
                values = "VALUES " + ", ".join([self.row] * len(rows))
                cursor.execute(self.head + values + self.tail, as_parameters(rows, self.prepare, self.using))
            return {pk: tuple(read) for pk, *read in cursor.fetchall()}


def records(fields: Iterable[Any], using: str) -> str:
    """PostgreSQL's table of the rows in one JSON text."""
    connection = connections[using]
    typed = [f"{connection.ops.quote_name(str(field.column))} {column_type(field, using)}" for field in fields]
    return f"json_to_recordset(%s) AS record({', '.join(typed)})"


def column_type(field: Any, using: str) -> str:
    connection = connections[using]
    name = str(field.db_type(connection) if field.is_relation else field.rel_db_type(connection))
    return "text" if name.startswith("varchar") else name


def as_json(rows: Sequence[Sequence[Any]], names: Sequence[str], nested: Sequence[str]) -> str:
    """The rows as PostgreSQL takes them; `nested` are the columns that hold JSON themselves.

    Raises ValueError for a number in them that is none, of which orjson would make nothing.
    """
    records = [dict(zip(names, row, strict=True)) for row in rows]
    for name in nested:
        for record in records:
            record[name] = orjson.Fragment(json.dumps(record[name], allow_nan=False)) if record[name] else record[name]
    try:
        return orjson.dumps(records).decode()
    except orjson.JSONEncodeError:  # What UTF-8 can't hold is the database's to refuse.
        return json.dumps([dict(zip(names, row, strict=True)) for row in rows], default=plain, allow_nan=False)


def plain(value: Any) -> str:
    """What JSON lacks. Raises TypeError for anything that no column of ours holds."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} can't be written")


def nothing(value: Any) -> str | None:
    """The SQL of a value that is nothing; None for any other, which has to be a parameter."""
    if value is None:
        return "NULL"
    if value is False:
        return "FALSE"
    if isinstance(value, str) and not value:
        return "''"
    return "0" if type(value) is int and not value else None


def as_parameters(rows: Iterable[Sequence[Any]], prepares: Sequence[Prepare | None], using: str) -> list[Any]:
    connection = connections[using]
    return [
        value if prepare is None or value is None else prepare(value, connection)
        for row in rows
        for value, prepare in zip(row, prepares, strict=True)
    ]


def preparing(field: Any) -> Prepare | None:
    """What turns the field's value into the driver's; None where it is the same."""
    target = field.target_field if field.is_relation else field
    prepare: Prepare = field.get_db_prep_save
    return None if isinstance(target, PLAIN) else prepare


@cache
def inserting(model: type[Model], using: str, *database_sets: str) -> Insert:
    """The one Insert of this table in this process."""
    return Insert(model, using, database_sets)


@cache
def updating(model: type[Model], using: str, names: tuple[str, ...], **options: Any) -> Update:
    """The one Update of these columns in this process."""
    return Update(model, using, names, **options)


def counted(using: str, *querysets: QuerySet[Any]) -> list[int]:
    """How many rows each of these has, all asked at once: a page that counts three things makes one query of it."""
    compiled = [rows.values("pk").query.sql_with_params() for rows in querysets]
    select = ", ".join(f"(SELECT COUNT(*) FROM ({sql}) AS counted)" for sql, _ in compiled)
    with connections[using].cursor() as cursor:
        cursor.execute(f"SELECT {select}", [value for _, params in compiled for value in params])
        return list(cursor.fetchone())
