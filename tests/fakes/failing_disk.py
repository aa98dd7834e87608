"""A small ext4 of its own whose power can be cut: what was not synced is gone, as with a real machine."""

import fcntl
import os
import struct
import subprocess
from pathlib import Path

# ext4's own means for such tests (linux/fs/ext4/ext4.h: EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH): from this moment nothing
# more reaches the disk, dirty pages included, and every write fails with EIO.
_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2


class FailingDisk:
    """Mounted at `path` between `mount` and `unmount`. Raises CalledProcessError where nothing can be mounted."""

    def __init__(self, directory: Path, megabytes: int = 64) -> None:
        self.path, self._image, self._is_mounted = directory / "disk", directory / "disk.image", False
        self.path.mkdir()
        with self._image.open("wb") as file:
            file.truncate(megabytes * 2**20)
        subprocess.run(["mkfs.ext4", "-q", str(self._image)], check=True, capture_output=True)
        self.mount()

    def mount(self, *options: str) -> None:
        mounting = ["mount", "-o", ",".join(("loop", *options)), str(self._image), str(self.path)]
        subprocess.run(mounting, check=True, capture_output=True)
        self._is_mounted = True

    def cut_power(self) -> None:
        """Nothing reaches the disk any more."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def unmount(self) -> None:
        """Safe twice."""
        if self._is_mounted:
            subprocess.run(["umount", str(self.path)], check=True, capture_output=True)
            self._is_mounted = False
