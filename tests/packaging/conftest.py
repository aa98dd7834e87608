"""The package, and a booted machine of its own for the tests of a module."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from box import ROOT, Box, booted, missing_tools

SUITE = os.environ.get("NETMOTE_SUITE", "bookworm")
PYTHON_OF = {"bookworm": "3.11", "trixie": "3.13"}


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as `make deb` builds it, but compressed quickly."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a container of systemd-nspawn")
    absent = [*missing_tools(), *(tool for tool in ("dh", "dpkg-buildpackage") if shutil.which(tool) is None)]
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)}")
    version = PYTHON_OF[SUITE]
    if not _has(f"python{version}"):
        pytest.skip(f"python{version}, the interpreter of {SUITE}, is not installed")
    done = subprocess.run(
        ["packaging/build-deb.sh", sys.prefix],
        cwd=ROOT,
        env={**os.environ, "COMPRESSION": "zstd", "PYTHON_VERSION": version},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return ROOT / done.stdout.split()[-1]


def _has(interpreter: str) -> bool:
    """Whether it runs: a stand-in of pyenv may only say that it would not."""
    if interpreter == "python{}.{}".format(*sys.version_info):
        return True
    return (
        shutil.which(interpreter) is not None
        and not subprocess.run([interpreter, "-c", ""], check=False, capture_output=True).returncode
    )


@pytest.fixture(scope="session")
def newer_package(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same package as a later version, with another default configuration."""
    tree = tmp_path_factory.mktemp("newer") / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", str(package), str(tree)], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(control.read_text().replace("\nVersion: ", "\nVersion: 9."))
    with (tree / "etc/netmote/netmote.yaml").open("a") as stream:
        stream.write("\n## A new default.\n")
    target = tree.parent / "newer.deb"
    subprocess.run(["dpkg-deb", "--build", "-Zzstd", "-z1", str(tree), str(target)], check=True, capture_output=True)
    shutil.rmtree(tree)
    return target


@pytest.fixture(scope="module")
def box(package: Path) -> Iterator[Box]:
    """A booted machine without the package. It can see the project's own environment, for what tests run inside it."""
    with booted(SUITE) as machine:
        yield machine
