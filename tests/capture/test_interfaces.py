"""Which interfaces `auto` means."""

from pathlib import Path

from netmote.capture.interfaces import select_interfaces


def make(root: Path, name: str, flags: int, *, master: str | None = None) -> None:
    (root / name).mkdir(exist_ok=True)
    (root / name / "flags").write_text(f"{flags:#x}\n")
    if master:
        (root / name / "master").symlink_to(f"../{master}")


def test_auto_leaves_out_loopback_down_and_members(tmp_path: Path) -> None:
    """Up, not loopback, and not a member of a bridge or bond; a VRF's member stays."""
    make(tmp_path, "lo", 0x9)
    make(tmp_path, "eth0", 0x1003)
    make(tmp_path, "eth1", 0x1002)  # down
    for name, kind in (("br0", "bridge"), ("bond0", "bonding"), ("vrf0", "vrf")):
        make(tmp_path, name, 0x1003)
        (tmp_path / name / kind).mkdir()
    make(tmp_path, "veth1", 0x1003, master="br0")
    make(tmp_path, "eth2", 0x1003, master="bond0")
    make(tmp_path, "eth3", 0x1003, master="vrf0")
    (tmp_path / "bonding_masters").write_text("bond0\n")
    chosen = select_interfaces(("auto",), sys_class_net=tmp_path)
    assert chosen == ("bond0", "br0", "eth0", "eth3", "vrf0")


def test_names_stand_as_written_each_once(tmp_path: Path) -> None:
    """Named ones are not looked up: one that is missing is the ring's to tell."""
    make(tmp_path, "eth0", 0x1003)
    assert select_interfaces(("mirror0", "auto", "eth0", "mirror0"), sys_class_net=tmp_path) == ("mirror0", "eth0")
    assert select_interfaces((), sys_class_net=tmp_path) == ()
    assert select_interfaces(("auto",), sys_class_net=tmp_path / "absent") == ()
