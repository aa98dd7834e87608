"""Small integers for what rows repeat: entities, texts and layouts of one telemetry file.

The writer's maps are a cache of the file. A number is taken inside the transaction that first uses it, so after a
rollback the caches may hold numbers the file has not: `forget` empties them.
"""

import sqlite3

from netmote.records.entity import Entity, EntityKind

# Above this many names the caches begin anew; the file stays right, only a few look-ups are made again.
_CACHE_LIMIT = 65_536


def storable(text: str) -> str:
    """SQLite's TEXT holds no lone surrogates (RFC 3629 section 3), a device's name may: they become backslash escapes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


class Interner:
    """Names to numbers for the writer of one file."""

    def __init__(self) -> None:
        self._texts: dict[str, int] = {}
        self._layouts: dict[str, int] = {}
        self._entities: dict[Entity, int] = {}

    def forget(self) -> None:
        self._texts.clear()
        self._layouts.clear()
        self._entities.clear()

    def text(self, connection: sqlite3.Connection, value: str) -> int:
        number = self._texts.get(value)
        if number is None:
            number = _number(connection, "text", "text_id", {"value": storable(value)})
            self._remember(self._texts, value, number)
        return number

    def layout(self, connection: sqlite3.Connection, columns: str) -> int:
        number = self._layouts.get(columns)
        if number is None:
            number = _number(connection, "layout", "layout_id", {"columns": columns})
            self._remember(self._layouts, columns, number)
        return number

    def entity(self, connection: sqlite3.Connection, entity: Entity) -> int:
        number = self._entities.get(entity)
        if number is None:
            number = _number(connection, "entity", "entity_id", {"kind": entity.kind.value, "name": storable(entity.name)})
            self._remember(self._entities, entity, number)
        return number

    @staticmethod
    def _remember(cache: dict, key: str | Entity, number: int) -> None:  # type: ignore[type-arg]
        if len(cache) >= _CACHE_LIMIT:
            cache.clear()
        cache[key] = number


def _number(connection: sqlite3.Connection, table: str, key: str, values: dict[str, str]) -> int:
    # The names of tables and columns are ours, the values are bound.
    where = " AND ".join(f"{column} = :{column}" for column in values)
    found = connection.execute(f"SELECT {key} FROM {table} WHERE {where}", values).fetchone()  # noqa: S608
    if found is None:
        names = ", ".join(values)
        marks = ", ".join(f":{column}" for column in values)
        return int(connection.execute(f"INSERT INTO {table}({names}) VALUES({marks})", values).lastrowid or 0)
    return int(found[0])


class Names:
    """Numbers to names for a reader of one file, looked up as they come and kept while the reader lives."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._texts: dict[int, str] = {}
        self._layouts: dict[int, str] = {}
        self._entities: dict[int, Entity] = {}

    def text(self, number: int) -> str:
        if number not in self._texts:
            (self._texts[number],) = self._connection.execute("SELECT value FROM text WHERE text_id = ?", (number,)).fetchone()
        return self._texts[number]

    def layout(self, number: int) -> str:
        if number not in self._layouts:
            (self._layouts[number],) = self._connection.execute(
                "SELECT columns FROM layout WHERE layout_id = ?", (number,)
            ).fetchone()
        return self._layouts[number]

    def entity(self, number: int) -> Entity:
        if number not in self._entities:
            kind, name = self._connection.execute("SELECT kind, name FROM entity WHERE entity_id = ?", (number,)).fetchone()
            self._entities[number] = Entity(EntityKind(kind), name)
        return self._entities[number]
