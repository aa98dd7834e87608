"""Which local ports listen, against real sockets."""

import os
import socket

import psutil

from netmote.host.listeners import Listener, ephemeral_ports, read_sockets


def test_a_listening_port_is_found_with_its_process() -> None:
    """TCP in LISTEN and UDP bound to a port, with address and process; gone when closed."""
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket(socket.AF_INET6) as six:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        udp.bind(("127.0.0.1", 0))
        six.bind(("::1", 0))
        six.listen()
        wanted = {
            Listener("tcp", "127.0.0.1", tcp.getsockname()[1]),
            Listener("udp", "127.0.0.1", udp.getsockname()[1]),
            Listener("tcp", "::1", six.getsockname()[1]),
        }
        found = read_sockets(range(0)).listeners
        assert wanted <= found.keys()
        assert {found[each] for each in wanted} == {psutil.Process(os.getpid()).name()}
    assert not wanted & read_sockets(range(0)).listeners.keys()


def test_udp_clients_are_no_listeners() -> None:
    """An unconnected UDP socket on a port of the ephemeral range is a client's; TCP there still listens."""
    with socket.socket(type=socket.SOCK_DGRAM) as client, socket.socket() as server:
        client.bind(("127.0.0.1", 0))
        server.bind(("127.0.0.1", 0))
        server.listen()
        ephemeral = ephemeral_ports()
        assert client.getsockname()[1] in ephemeral
        found = read_sockets(ephemeral).listeners
        assert Listener("udp", "127.0.0.1", client.getsockname()[1]) not in found
        assert Listener("tcp", "127.0.0.1", server.getsockname()[1]) in found


def test_connections_are_no_listeners() -> None:
    """Both ends of a connection are counted as connections, and neither as a listener of its own."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with socket.create_connection(server.getsockname()) as client:
            accepted, _ = server.accept()
            with accepted:
                sockets = read_sockets(ephemeral_ports())
                assert Listener("tcp", "127.0.0.1", client.getsockname()[1]) not in sockets.listeners
                assert sockets.tcp_states.count("ESTABLISHED") >= 2
