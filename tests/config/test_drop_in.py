"""Drop-ins are merged as if all were one document, and every mistake names the file it stands in."""

from pathlib import Path

import pytest

from netmote.config.drop_in import MAX_DROP_INS
from netmote.daemon.config import load_config
from netmote.errors import ConfigError


def written(directory: Path, main: str, **drop_ins: str) -> Path:
    """A document, and `conf.d/<name>.yaml` beside it."""
    (directory / "conf.d").mkdir()
    for name, text in drop_ins.items():
        (directory / "conf.d" / f"{name}.yaml").write_text(text)
    path = directory / "netmote.yaml"
    path.write_text(main)
    return path


def problems_of(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems]


DEVICE = "snmp:\n  targets:\n    - name: {0}\n      address: 192.0.2.{1}\n      community: env:COMMUNITY\n"


def test_later_files_win_key_by_key(tmp_path: Path) -> None:
    """A drop-in says only what it changes; of two, the later name wins."""
    config = load_config(
        written(tmp_path, "host:\n  interval: 5s\nweb:\n  port: 8000\n", a="web:\n  port: 8001\n", b="web:\n  port: 8002\n")
    )
    assert (config.host.interval, config.web.port) == (5.0, 8002)


def test_devices_add_up(tmp_path: Path) -> None:
    """Lists of named things grow, file by file; lists of words are replaced."""
    path = written(
        tmp_path,
        DEVICE.format("a", 1) + "capture:\n  interfaces: [auto]\n",
        b=DEVICE.format("b", 2),
        c=DEVICE.format("c", 3) + "capture:\n  interfaces: [eth1]\n",
    )
    config = load_config(path)
    assert [target.name for target in config.snmp.targets] == ["a", "b", "c"]
    assert config.capture.interfaces == ("eth1",)


def test_mistakes_name_their_file_and_line(tmp_path: Path) -> None:
    """Of a merged document, each mistake is where it was written, also in the element that a drop-in added."""
    path = written(
        tmp_path,
        DEVICE.format("a", 1) + "web:\n  port: 99999\n",
        b="# a comment\n" + DEVICE.format("b", 2) + "      comunity: x\n",
    )
    found = problems_of(path)
    assert any(each.startswith("netmote.yaml:7: web.port: ") for each in found)
    assert any(each.startswith("conf.d/b.yaml:7: snmp.targets[1].comunity: is not a known key") for each in found)
    assert len(found) == 2


def test_replaced_value_is_blamed_on_the_file_that_replaced_it(tmp_path: Path) -> None:
    """A good value that a drop-in spoils is the drop-in's mistake."""
    assert problems_of(written(tmp_path, "\n\nweb:\n  port: 8000\n", a="web:\n  port: 99999\n"))[0].startswith(
        "conf.d/a.yaml:2: web.port"
    )


def test_shapes_must_agree(tmp_path: Path) -> None:
    """A mapping is not replaced by a value: that is a mistake, and said with both files."""
    found = problems_of(written(tmp_path, "host:\n  interval: 5s\n", a="host: 5s\n"))
    assert len(found) == 1
    assert found[0].startswith("conf.d/a.yaml:1: host: must be a mapping, as in ")
    assert found[0].endswith("netmote.yaml")


def test_every_unreadable_file_is_told(tmp_path: Path) -> None:
    """Two files that are no YAML are two problems."""
    found = problems_of(written(tmp_path, "host: [", a="web: {", b="web:\n"))
    assert [each.partition(":")[0] for each in found] == ["netmote.yaml", "conf.d/a.yaml"]


def test_a_drop_in_without_values_says_nothing(tmp_path: Path) -> None:
    """Keys with nothing below them, and files of comments, change nothing; other files are not read."""
    path = written(tmp_path, "web:\n  port: 8000\n", a="web:\n", b="# nothing\n")
    (path.parent / "conf.d" / ".hidden.yaml").write_text("web: [")
    (path.parent / "conf.d" / "notes.txt").write_text("web: [")
    assert load_config(path).web.port == 8000


def test_their_number_is_bounded(tmp_path: Path) -> None:
    """A directory that something else fills is refused, not read."""
    path = written(tmp_path, "{}")
    for number in range(MAX_DROP_INS + 1):
        (path.parent / "conf.d" / f"{number}.yaml").touch()
    assert f"at most {MAX_DROP_INS}" in problems_of(path)[0]
