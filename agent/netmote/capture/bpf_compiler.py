"""Filter expressions as tcpdump takes them (pcap-filter(7)) to classic BPF programs: the only door to libpcap.

What live capture and capture files would answer differently is refused: `vlan` (the kernel takes a frame's outer tag off before a
filter sees it, and libpcap looks for it only in handles of its own) and the direction of a packet, which files do not tell. Names of
hosts are refused too, for libpcap would ask the network for them.
"""

import ctypes
import re
import socket
from functools import cache

from netmote.capture.bpf_keywords import KEYWORDS
from netmote.capture.bpf_program import INSTRUCTION
from netmote.capture.frames import LINKTYPE_ETHERNET, LINKTYPE_RAW
from netmote.errors import Permanent, Unavailable

_LIBRARIES = ("libpcap.so.0.8", "libpcap.so.1")  # Debian's name, and most others'
_ANCILLARY = 0xFFFF_F000  # SKF_AD_OFF: what lies beyond is no byte of the packet
_JUMP = 0x05
_LOADS_AT = (0x20, 0x28, 0x30, 0x40, 0x48, 0x50)
_NETMASK_UNKNOWN = 0xFFFF_FFFF
_DLT_RAW = 12  # of Linux; the other link types have the same number in files and in libpcap
_WORD = re.compile(r"\\?[\w:.-]+")
# Numbers and ranges; addresses of IPv4, IPv6 and Ethernet with its three ways to write them; a minus sign, a keyword taken as a name.
_NO_NAME = re.compile(
    r"0x[\da-f]+|[\d.:-]+|[\da-f:.]*:[\da-f:.]*|([\da-f]{1,2}-){5}[\da-f]{1,2}|([\da-f]{4}\.){2}[\da-f]{4}|[-\\].*", re.IGNORECASE
)
_LONGEST = 4096


class FilterError(Permanent):
    """The expression is wrong, or cannot be answered for this kind of link. The message is for the user."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.c_void_p))


def compile_filter(expression: str, link_type: int = LINKTYPE_ETHERNET) -> bytes:
    """The program of an expression for frames of a LINKTYPE_; it returns 0 for packets that are not wanted.

    Raises FilterError with libpcap's own words, Unavailable where there is no libpcap.
    """
    _refuse_unanswerable(expression)
    library = _libpcap()
    handle = library.pcap_open_dead(_DLT_RAW if link_type == LINKTYPE_RAW else link_type, 262_144)
    if not handle:
        raise FilterError(f"link type {link_type} is unknown to libpcap")
    try:
        program = _Program()
        if library.pcap_compile(handle, ctypes.byref(program), expression.encode(), 1, _NETMASK_UNKNOWN):
            raise FilterError(library.pcap_geterr(handle).decode(errors="replace"))
        try:
            code = ctypes.string_at(program.instructions, program.length * INSTRUCTION.size)
        finally:
            library.pcap_freecode(ctypes.byref(program))
    finally:
        library.pcap_close(handle)
    _refuse_unrunnable(code)
    return code


def _refuse_unrunnable(code: bytes) -> None:
    """What the kernel's filter takes and a file's packets can answer: jumps that lead forward, loads of the packet's own bytes."""
    lines = list(INSTRUCTION.iter_unpack(code))
    for number, (opcode, then, otherwise, value) in enumerate(lines):
        if opcode in _LOADS_AT and value >= _ANCILLARY:
            raise FilterError("asks for the direction or the interface of a packet, which capture files do not tell")
        if opcode & 0x07 == _JUMP and number + 1 + (value if opcode == _JUMP else max(then, otherwise)) >= len(lines):
            raise FilterError("needs a loop (protochain), which the kernel's filters have not")


def _refuse_unanswerable(expression: str) -> None:
    if "\0" in expression or len(expression) > _LONGEST:
        raise FilterError(f"has at most {_LONGEST} characters, none of them NUL")
    for word in _WORD.findall(expression):
        if word == "vlan":
            raise FilterError(
                "vlan: the kernel takes a frame's outer VLAN tag off before a filter sees it; filter by what is behind it"
            )
        if word in KEYWORDS or _NO_NAME.fullmatch(word) or _is_service(word):
            continue
        raise FilterError(f"{word}: names of hosts are not looked up; write the address")


def _is_service(word: str) -> bool:
    """A name of /etc/services or /etc/protocols; a backslash takes a keyword as a name."""
    for look_up in (socket.getservbyname, socket.getprotobyname):
        try:
            look_up(word)
        except OSError:
            continue
        return True
    return False


@cache
def _libpcap() -> ctypes.CDLL:
    for name in _LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.pcap_open_dead.restype = ctypes.c_void_p
        library.pcap_open_dead.argtypes = (ctypes.c_int, ctypes.c_int)
        library.pcap_compile.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint32)
        library.pcap_geterr.restype = ctypes.c_char_p
        library.pcap_geterr.argtypes = (ctypes.c_void_p,)
        library.pcap_freecode.argtypes = library.pcap_close.argtypes = (ctypes.c_void_p,)
        library.pcap_freecode.restype = library.pcap_close.restype = None
        return library
    raise Unavailable("filter expressions need libpcap: install the package libpcap0.8 (tcpdump brings it)")
