"""A zstd stream as bytes (RFC 8878), for capture files that are compressed with it. Memory is bounded by the window of the format.

The library is the standard library's `compression.zstd`, of Python 3.14; before that its backport, which the extra `zstd` installs.
"""

import io
import sys
from typing import Any

from netmote.capture.read_ahead import ByteSource
from netmote.errors import Permanent

FRAME = b"\x28\xb5\x2f\xfd"
_WINDOW_LOG = 27  # 128 MiB, what zstd itself takes without being told otherwise
_INPUT_BYTES = 1 << 17


class ZstdMissing(Permanent):
    """This Python has no zstd. The message says how to install it."""


def is_zstd(head: bytes) -> bool:
    """Whether a stream begins so: with a frame, or with a skippable one (RFC 8878 section 3.1.2), as pzstd writes."""
    return head[:4] == FRAME or (head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50)


class ZstdStream(io.RawIOBase):
    """The bytes of all frames of `source`, one behind another. Raises ZstdMissing where there is no library.

    Reading raises EOFError for a stream that ends inside a frame, OSError for a damaged one or one whose window is larger than 128 MiB.
    What could be unpacked before is handed on.
    """

    def __init__(self, source: ByteSource) -> None:
        self._library = _library()
        self._source = source
        self._rest = b""  # input not yet given to a decoder
        self._decoder: Any = None
        """Of the frame that is being read; None between frames."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        if not len(buffer):
            return 0
        while True:
            if self._decoder is None or self._decoder.needs_input:
                data, self._rest = self._rest or self._source.read(_INPUT_BYTES) or b"", b""
                if not data:
                    if self._decoder is None:
                        return 0
                    raise EOFError("the zstd stream ends inside a frame")
            else:
                data = b""
            if self._decoder is None:
                options = {self._library.DecompressionParameter.window_log_max: _WINDOW_LOG}
                self._decoder = self._library.ZstdDecompressor(options=options)
            try:
                unpacked = self._decoder.decompress(data, max_length=len(buffer))
            except self._library.ZstdError as error:
                raise OSError(f"damaged zstd stream: {error}") from error
            if self._decoder.eof:
                self._rest, self._decoder = self._decoder.unused_data, None
            if unpacked:
                buffer[: len(unpacked)] = unpacked
                return len(unpacked)


def _library() -> Any:
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd  # noqa: PLC0415 - only where a file needs it
        else:
            from backports import zstd  # noqa: PLC0415 - the same
    except ImportError as error:
        raise ZstdMissing('it is compressed with zstd, which needs the extra: pip install "netmote[zstd]"') from error
    return zstd
