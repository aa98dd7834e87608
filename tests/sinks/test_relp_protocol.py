"""RELP frames: what is written, what is understood, what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmote.sinks.relp.protocol import Frame, FrameReader, ProtocolError, Session


def test_a_frame_on_the_wire() -> None:
    """Number, command, length, data, line feed; no blank when there is no data."""
    assert Frame(2, "syslog", b"<130>1 x").encode() == b"2 syslog 8 <130>1 x\n"
    assert Frame(3, "close", b"").encode() == b"3 close 0\n"


@given(
    frames=st.lists(
        st.builds(Frame, st.integers(0, 999_999_999), st.sampled_from(["rsp", "serverclose"]), st.binary(max_size=60))
    ),
    cuts=st.lists(st.integers(1, 30), max_size=50),
)
def test_frames_come_back_however_they_are_cut(frames: list[Frame], cuts: list[int]) -> None:
    """TCP keeps no borders."""
    wire = b"".join(frame.encode() for frame in frames)
    reader, found, place = FrameReader(), [], 0
    for cut in [*cuts, len(wire) + 1]:
        found += reader.feed(wire[place : place + cut])
        place += cut
    assert found == frames


@given(st.binary(max_size=200))
def test_whatever_comes_it_is_frames_or_an_error(data: bytes) -> None:
    """A receiver cannot make the sink fail in another way, or keep it reading for ever."""
    try:
        FrameReader().feed(data)
    except ProtocolError:
        return


@pytest.mark.parametrize(
    "data",
    [b"HTTP/1.1 400 Bad Request\r\n", b"1 rsp x 200\n", b"1 rsp 3 200X", b"1 rsp 999999 ", b"9" * 60, b"\n", b"1 rsp 3\n200\n"],
)
def test_what_is_not_relp(data: bytes) -> None:
    """Said at once, not waited for."""
    with pytest.raises(ProtocolError):
        FrameReader().feed(data)


def opened() -> Session:
    session = Session("netmote,1")
    assert session.open() == b"1 open 55 relp_version=0\nrelp_software=netmote,1\ncommands=syslog\n\n"
    session.receive(b"1 rsp 79 200 OK\nrelp_version=0\nrelp_software=librelp,1.11.0,http://x\ncommands=syslog....\n")
    return session


def test_each_message_has_its_answer() -> None:
    """In any order; a batch is delivered when none is left."""
    session = opened()
    session.syslog(b"a")
    session.syslog(b"b")
    session.receive(b"3 rsp 6 200 OK\n")
    assert session.unanswered == 1
    session.receive(b"2 rsp 6 200 OK\n")
    assert session.unanswered == 0


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (b"2 rsp 9 500 error\n", "syslog was answered with 500 error"),
        (b"7 rsp 6 200 OK\n", "answers nothing"),
        (b"0 serverclose 0\n", "ends the session"),
        (b"2 syslog 6 200 OK\n", "answers nothing"),
    ],
)
def test_no_acceptance(answer: bytes, word: str) -> None:
    """Anything but 200 for the very frame is none."""
    session = opened()
    session.syslog(b"a")
    with pytest.raises(ProtocolError, match=word):
        session.receive(answer)


def test_a_server_without_syslog_is_none_of_ours() -> None:
    """The opening answer offers what the server takes."""
    session = Session("netmote,1")
    session.open()
    with pytest.raises(ProtocolError, match="no syslog"):
        session.receive(b"1 rsp 31 200 OK\nrelp_version=0\ncommands=\n")


def test_numbers_begin_again_after_the_largest() -> None:
    """Nine digits are the most; 0 is the server's."""
    session = Session("x")
    session._last_txnr = 999_999_998
    assert session.syslog(b"a").startswith(b"999999999 ")
    assert session.syslog(b"b").startswith(b"1 ")
