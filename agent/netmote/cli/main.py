"""The table of commands. Each is a file of its own, imported when it is called."""


def run() -> None:
    """Entry point of `netmote` and `python -m netmote`."""
    raise SystemExit(0)
