"""Which optional library a sink needs, and what to install when it is not there.

A sink's library is an extra of this package and is imported only when such a sink is configured. The check looks for the module
without importing it, so that a configuration is refused, with its line, before anything runs.
"""

from importlib.util import find_spec


def require_library(module: str, *, extra: str) -> None:
    """Raises ValueError that names the extra when `module` cannot be found; pydantic makes it a problem of the document."""
    try:
        found = find_spec(module) is not None
    except ModuleNotFoundError:  # the parent of a dotted name is missing
        found = False
    if not found:
        raise ValueError(f'this sink needs the Python module {module}, which is not installed: pip install "netmote[{extra}]"')
