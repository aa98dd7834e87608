"""sd_notify(3) over the standard library: what the service manager is told. Silent where there is no service manager."""

import os
import socket


class ServiceNotify:
    """Datagrams to $NOTIFY_SOCKET; right on systemd 252 (Type=notify) and 257."""

    def __init__(self, address: str | None = None) -> None:
        address = os.environ.get("NOTIFY_SOCKET") if address is None else address
        # A leading @ names the abstract namespace (sd_notify(3)).
        self._address = "\0" + address[1:] if address and address.startswith("@") else address

    def ready(self, status: str) -> None:
        """The daemon is up."""
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={_line(status)}")

    def watchdog(self) -> None:
        """The legs moved on since the last call."""
        self._send("WATCHDOG=1")

    def reloading(self, monotonic_seconds: float) -> None:
        """A reload began (CLOCK_MONOTONIC, as systemd 253 and later want it); `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic_seconds * 1_000_000)}")

    def stopping(self) -> None:
        """The daemon is on its way down."""
        self._send("STOPPING=1")

    @staticmethod
    def watchdog_interval() -> float | None:
        """Half of WatchdogSec in seconds, when the service manager watches this process."""
        microseconds, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
        if not microseconds.isdigit() or (pid and pid != str(os.getpid())):
            return None
        return int(microseconds) / 2_000_000

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
            try:
                connection.sendto(message.encode(), self._address)
            except OSError:
                # The manager has gone or is full; the watchdog will judge, there is nobody else to tell.
                return


def _line(text: str) -> str:
    return text.replace("\n", "; ")
