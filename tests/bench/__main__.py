"""`make bench`: runs every benchmark of this folder in turn. Each prints its figures with a ratio to a named peer or limit."""

import platform
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    """Run all, or those whose names are given; returns the number that failed."""
    chosen = sys.argv[1:]
    failed = 0
    print(
        f"{time.strftime('%Y-%m-%d')}  {_processor()}  Linux {platform.release()}  Python {platform.python_version()}", flush=True
    )
    for script in sorted(HERE.glob("bench_*.py")):
        name = script.stem.removeprefix("bench_")
        if chosen and name not in chosen:
            continue
        print(f"\n{name}", flush=True)
        failed += subprocess.run([sys.executable, str(script)], check=False).returncode != 0
    return failed


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    raise SystemExit(main())
