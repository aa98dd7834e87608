"""A bounded window onto a byte stream, for walking records that cross read borders. Owns the buffer; knows no format."""

import zlib
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

CHUNK_BYTES = 8 << 20
_PADDING = 64  # a row gather may look behind the last byte


class ByteSource(Protocol):
    """What is read from: a raw file, a gzip stream, standard input."""

    def read(self, count: int, /) -> bytes | None: ...

    def readinto(self, buffer: memoryview, /) -> int | None: ...


class ReadAhead:
    """Bytes `[0, end)` of `buffer` are the part of the stream not yet consumed.

    A record longer than `longest` cannot be held: the walker must refuse it before it asks for more.
    """

    def __init__(self, source: ByteSource, *, longest: int, chunk: int = CHUNK_BYTES, head: bytes = b"") -> None:
        self.longest = longest
        self._chunk = chunk
        self._source = source
        self.buffer: NDArray[np.uint8] = np.zeros(longest + chunk + _PADDING, "u1")
        self.memory = self.buffer.data  # the same bytes, for struct
        self.buffer[: len(head)] = np.frombuffer(head, "u1")
        self.end = len(head)
        self.is_broken = False  # the stream itself is damaged (a cut gzip file)

    def fill(self, *, at_least: int = 0) -> bool:
        """Read about one chunk behind `end`, more until `at_least` bytes are held; False when the stream has ended."""
        grown = False
        limit = len(self.buffer) - _PADDING
        target = min(limit, max(self.end + self._chunk, at_least))
        while self.end < target:
            try:
                count = self._source.readinto(self.memory[self.end : target])
            except (EOFError, OSError, zlib.error):
                self.is_broken = True
                break
            if not count:
                break
            self.end += count
            grown = True
        return grown

    def consume(self, count: int) -> None:
        """Drop the first `count` bytes; what is left moves to the front."""
        left = self.end - count
        self.buffer[:left] = self.buffer[count : self.end].copy()
        self.buffer[left : left + _PADDING] = 0
        self.end = left
