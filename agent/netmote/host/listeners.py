"""Local ports that listen, and which of them are new. Owns the comparison of two readings; refuses schedules and clocks."""

from pathlib import Path
from socket import SocketKind
from typing import NamedTuple

import psutil

# Unconnected UDP sockets of clients (resolvers, our own SNMP socket) take ports of this range; they do not serve.
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class Listener(NamedTuple):
    """One local port that accepts from the network."""

    transport: str  # "tcp" or "udp"
    address: str
    port: int


class Sockets(NamedTuple):
    """One reading of the socket tables: who listens (with the process, "" when hidden) and the states of TCP sockets."""

    listeners: dict[Listener, str]
    tcp_states: list[str]


def ephemeral_ports() -> range:
    """Ports the kernel hands to clients (ip(7), ip_local_port_range); empty where it does not say."""
    try:
        low, high = (int(word) for word in _EPHEMERAL_RANGE.read_text().split())
    except (OSError, ValueError):
        return range(0)
    return range(low, high + 1)


def read_sockets(ephemeral: range) -> Sockets:
    """Socket tables now: TCP in LISTEN, UDP bound and unconnected outside `ephemeral`. Blocks for tens of milliseconds."""
    listeners: dict[Listener, str] = {}
    tcp_states: list[str] = []
    for socket in psutil.net_connections(kind="inet"):
        is_tcp = socket.type is SocketKind.SOCK_STREAM
        if is_tcp:
            tcp_states.append(socket.status)
        if not socket.laddr:
            continue
        serves = socket.status == psutil.CONN_LISTEN if is_tcp else not socket.raddr and socket.laddr.port not in ephemeral
        if serves:
            key = Listener("tcp" if is_tcp else "udp", socket.laddr.ip, socket.laddr.port)
            listeners.setdefault(key, _process_name(socket.pid))
    return Sockets(listeners, tcp_states)


def _process_name(pid: int | None) -> str:
    if pid is None:  # another user's socket, and we are not root
        return ""
    try:
        return psutil.Process(pid).name()
    except psutil.Error:  # it ended meanwhile
        return ""
