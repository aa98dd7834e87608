"""Frames in a list to packet columns, as a capture file would hold them."""

import numpy as np

from netmote.capture.frames import LINKTYPE_ETHERNET, Frames
from netmote.capture.headers import decode
from netmote.capture.packets import PacketColumns
from netmote.capture.tunnels import Tunnel


def frames_of(frames: list[bytes], *, link_type: int = LINKTYPE_ETHERNET, captured: list[int] | None = None) -> Frames:
    """Frames one after another, a second apart; `captured` cuts them. Bytes behind a cut frame are not zero."""
    kept = [len(frame) for frame in frames] if captured is None else captured
    parts = [frame[:length] + b"\xa5" * 61 for frame, length in zip(frames, kept, strict=True)]
    offset = np.cumsum([0] + [len(part) for part in parts[:-1]]).astype("i8") if parts else np.zeros(0, "i8")
    return Frames(
        np.frombuffer(b"".join(parts), "u1"),
        offset,
        captured=np.array(kept, "i8"),
        wire_length=np.array([len(frame) for frame in frames], "u4"),
        timestamp_ns=1_700_000_000_000_000_000 + np.arange(len(frames), dtype="i8") * 1_000_000_000,
        link_type=link_type,
    )


def decode_frames(frames: list[bytes], *, tunnels: tuple[Tunnel, ...] = (), **options) -> PacketColumns:
    return decode(frames_of(frames, **options), "test0", tunnels=tunnels)
