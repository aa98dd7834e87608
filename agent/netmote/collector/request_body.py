"""A request's body, read and unfolded within a bound: neither a long body nor a short one that unfolds to gigabytes costs more.

aiohttp unfolds bodies by itself, in steps it chooses; it is told not to, so that the bound holds for the unfolded octets as well.
"""

import zlib

from aiohttp import StreamReader

_STEP = 256 * 1024
_GZIP_WINDOW = 16 + zlib.MAX_WBITS  # zlib.decompressobj: a gzip header and trailer


class TooLarge(ValueError):
    """More than the bound."""


class NotDecodable(ValueError):
    """Not of the encoding it claims."""


async def read_bounded(content: StreamReader, *, limit: int) -> bytes:
    """All octets as they came. Raises TooLarge."""
    parts, size = [], 0
    while part := await content.read(_STEP):
        size += len(part)
        if size > limit:
            raise TooLarge(f"more than {limit} bytes")
        parts.append(part)
    return b"".join(parts)


def gunzip(octets: bytes, *, limit: int) -> bytes:
    """RFC 1952, one member. Raises TooLarge before it has made more than `limit` bytes, NotDecodable for what is none or not whole."""
    unfold = zlib.decompressobj(_GZIP_WINDOW)
    try:
        body = unfold.decompress(octets, limit + 1)
    except zlib.error as error:
        raise NotDecodable(f"not gzip: {error}") from error
    if len(body) > limit:
        raise TooLarge(f"unfolds to more than {limit} bytes")
    if not unfold.eof or unfold.unused_data:
        raise NotDecodable("not one whole gzip member")
    return body
