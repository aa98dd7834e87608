"""The page scanner reads what SQLite wrote, and nothing makes it raise."""

import random
import sqlite3

from netmote.store.page_scan import Pages, table_rows


def written(tmp_path, rows):
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA page_size=4096")
        connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a, b, c)")
        connection.executemany("INSERT INTO t VALUES(?, ?, ?, ?)", rows)
    connection.close()
    return path.read_bytes()


def scanned(data, log_frames=()):
    return [
        (row_id, tuple(values[1:]))
        for row_id, values in table_rows(Pages(data, log_frames, 4096))
        if len(values) == 4 and values[0] is None
    ]


def test_every_kind_of_value_and_length(tmp_path):
    """All serial types, and payloads around every border of local and overflow storage."""
    values = [
        None,
        0,
        1,
        -1,
        127,
        -128,
        2**15 - 1,
        2**23,
        -(2**31),
        2**47 - 1,
        2**63 - 1,
        -(2**63),
        1.5,
        -1e300,
        "",
        "é\U0001f600",
        b"",
        b"\0\xff",
    ]
    rows = [(number, value, "x" * (number % 50), value) for number, value in enumerate(values, 1)]
    rows += [(100 + length, None, random.Random(length).randbytes(length), length) for length in range(0, 20_000, 37)]
    assert sorted(scanned(written(tmp_path, rows))) == [(row[0], row[1:]) for row in rows]


def test_the_header_is_not_needed(tmp_path):
    """With its first page gone a file still gives all rows of the others."""
    rows = [(number, "name", number, b"x" * 100) for number in range(500)]
    data = bytearray(written(tmp_path, rows))
    data[:4096] = bytes(4096)
    assert sorted(scanned(bytes(data))) == [(row[0], row[1:]) for row in rows]


def test_a_newer_page_of_the_log_serves_overflow(tmp_path):
    """Overflow chains follow the log where it has a newer page, and the file where it has not."""
    data = written(tmp_path, [(1, None, b"y" * 9000, 7)])
    frames = [(number + 1, data[number * 4096 : number * 4096 + 4096]) for number in range(len(data) // 4096)]
    assert scanned(b"", frames) == [(1, (None, b"y" * 9000, 7))]
    assert scanned(data[:4096], frames[1:]) == [(1, (None, b"y" * 9000, 7))]


def test_noise_never_raises(tmp_path):
    """Random octets, cut files and flipped bits give fewer rows, never an error."""
    data, rng = written(tmp_path, [(number, 1, b"z" * 3000, "t") for number in range(40)]), random.Random(3)
    for _ in range(300):
        damaged = bytearray(data[: rng.randrange(len(data))])
        for _ in range(40):
            if damaged:
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        scanned(bytes(damaged))
        scanned(b"\x0d" + rng.randbytes(8191))
