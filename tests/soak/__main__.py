"""`make soak`: half an hour at a realistic load, or SOAK_SECONDS= of it; SOAK_PROFILE=small for that of a small box. Ends with 1 when something grows, is lost, or is not accounted for."""

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))
sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
sys.path.insert(0, str(Path(__file__).parent))
from report import machine, print_table
from soak_load import PROFILES, is_possible
from soak_run import rows, soak


def main() -> int:
    """Print the table and what is wrong."""
    reason = is_possible()
    if reason:
        print(f"not run: {reason}")
        return 0
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as name:
        outcome = soak(
            PROFILES[os.environ.get("SOAK_PROFILE", "standard")], float(os.environ.get("SOAK_SECONDS", "1800")), Path(name)
        )
    print_table(rows(outcome))
    print(
        "resident, MB, over the run: "
        + " ".join(f"{sample.resident / 1e6:.0f}" for sample in outcome.samples[:: max(1, len(outcome.samples) // 40)])
    )
    wrong = [*outcome.complaints, *outcome.shortfalls]
    for each in wrong:
        print(f"FAILED: {each}")
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
