"""A CycloneDX 1.5 bill of materials of the package, from the lock file: what is inside, and the hashes it was checked against.

python packaging/bill_of_materials.py packaging/requirements.lock --version 0.1.0 > sbom.cdx.json
"""

import argparse
import json
import re
import sys
from pathlib import Path

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def components(lock: str) -> list[dict[str, object]]:
    """One component a pinned requirement. The hashes are those of its files on the package index, any of which pip accepts."""
    found: list[dict[str, object]] = []
    hashes: list[dict[str, str]] = []
    for line in lock.splitlines():
        pin = _PIN.match(line)
        if pin:
            hashes = []
            name, version = pin["name"], pin["version"]
            found.append(
                {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name}@{version}", "hashes": hashes}
            )
        hashes += [{"alg": "SHA-256", "content": digest} for digest in _HASH.findall(line)]
    return found


def main() -> None:
    """Write the document to standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lock", type=Path)
    parser.add_argument("--version", required=True)
    options = parser.parse_args()
    agent = {"type": "application", "name": "netmote", "version": options.version, "purl": f"pkg:pypi/netmote@{options.version}"}
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": agent},
        "components": components(options.lock.read_text()),
    }
    json.dump(document, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
