r"""RELP, the Reliable Event Logging Protocol, client side, as librelp's relp.html describes it. Bytes in, values out; no socket.

    client                                      server
    1 open 76 relp_version=0\nrelp_software=...\ncommands=syslog\n  ->
                                                <- 1 rsp 90 200 OK\nrelp_version=0\n...\n
    2 syslog 145 <130>1 2026-...\n             ->
                                                <- 2 rsp 6 200 OK\n
    3 close 0\n                                ->

The server answers each frame under its transaction number once it has taken the message over (rsyslog: once it is in the
ruleset's queue, or through its actions when that queue is of type Direct).
"""

import re
from dataclasses import dataclass

_MAX_TXNR = 999_999_999
# What a server has to say is short; a longer answer is not RELP.
_MAX_ANSWER_BYTES = 65_536
_HEADER = re.compile(rb"([0-9]{1,9}) ([A-Za-z]{1,32}) ([0-9]{1,9})([ \n])")
_MAX_HEADER_BYTES = 9 + 1 + 32 + 1 + 9 + 1


class ProtocolError(Exception):
    """What came is not RELP, or not what may come now."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: transaction number, command, data."""

    txnr: int
    command: str
    data: bytes

    def encode(self) -> bytes:
        """HEADER [SP DATA] TRAILER."""
        head = b"%d %s %d" % (self.txnr, self.command.encode(), len(self.data))
        return head + (b" " + self.data if self.data else b"") + b"\n"


class FrameReader:
    """Cuts what comes into frames."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Frame]:
        """Whole frames, in order. Raises ProtocolError."""
        self._rest += data
        frames = []
        while (frame := self._next()) is not None:
            frames.append(frame)
        return frames

    def _next(self) -> Frame | None:
        match = _HEADER.match(self._rest)
        if match is None:
            if len(self._rest) >= _MAX_HEADER_BYTES or b"\n" in self._rest:
                raise ProtocolError(f"no RELP frame begins with {self._rest[:40]!r}")
            return None
        length = int(match[3])
        if length > _MAX_ANSWER_BYTES:
            raise ProtocolError(f"an answer of {length} bytes")
        # Without data the header's end is the trailer; some servers write the blank all the same.
        end = match.end() if length == 0 and match[4] == b"\n" else match.end() + length + 1
        if len(self._rest) < end:
            return None
        if self._rest[end - 1 : end] != b"\n" or (length and match[4] != b" "):
            raise ProtocolError("a frame does not end where it says")
        frame = Frame(int(match[1]), match[2].decode(), self._rest[match.end() : match.end() + length])
        self._rest = self._rest[end:]
        return frame


class Session:
    """The client's side of one connection: numbers its frames and knows which are not answered yet."""

    def __init__(self, software: str) -> None:
        self._software = software
        self._reader = FrameReader()
        self._last_txnr = 0
        self._unanswered: dict[int, str] = {}

    @property
    def unanswered(self) -> int:
        """Frames the server has not answered."""
        return len(self._unanswered)

    def open(self) -> bytes:
        """The first frame: what this client offers."""
        return self._frame("open", f"relp_version=0\nrelp_software={self._software}\ncommands=syslog\n".encode())

    def syslog(self, message: bytes) -> bytes:
        """One message."""
        return self._frame("syslog", message)

    def close(self) -> bytes:
        """The last frame."""
        return self._frame("close", b"")

    def receive(self, data: bytes) -> None:
        """Take answers in. Raises ProtocolError for what is none, or refuses, or ends the session."""
        for frame in self._reader.feed(data):
            if frame.command == "serverclose":
                raise ProtocolError("the server ends the session")
            asked = self._unanswered.pop(frame.txnr, None)
            if frame.command != "rsp" or asked is None:
                raise ProtocolError(f"{frame.command} {frame.txnr} answers nothing that was sent")
            code, _, text = frame.data.partition(b"\n")[0].partition(b" ")
            if code != b"200":
                said = "".join(c if c.isprintable() else " " for c in text.decode("utf-8", "replace"))[:200]
                raise ProtocolError(f"{asked} was answered with {code.decode('ascii', 'replace')[:8]} {said}")
            if asked == "open" and b"commands=" in frame.data and b"syslog" not in frame.data:
                raise ProtocolError("the server takes no syslog messages")

    def _frame(self, command: str, data: bytes) -> bytes:
        # 0 is for hints of the server; after the largest number comes 1.
        self._last_txnr = self._last_txnr % _MAX_TXNR + 1
        self._unanswered[self._last_txnr] = command
        return Frame(self._last_txnr, command, data).encode()
