"""`make bench`: runs every benchmark of this folder in turn. Each prints its figures with a ratio to a named peer or limit."""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from report import machine

HERE = Path(__file__).parent


def main() -> int:
    """Run all, or those whose names are given; returns the number that failed."""
    chosen = sys.argv[1:]
    scripts = {script.stem.removeprefix("bench_"): script for script in sorted(HERE.glob("bench_*.py"))}
    unknown = set(chosen) - set(scripts)
    if unknown:
        print(f"no bench is called {', '.join(sorted(unknown))}; there are: {', '.join(scripts)}", file=sys.stderr)
        return 2
    print(machine(), flush=True)
    failed = 0
    for name in chosen or scripts:
        print(f"\n{name}", flush=True)
        failed += subprocess.run([sys.executable, str(scripts[name])], check=False).returncode != 0
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
