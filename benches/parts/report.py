"""`firedrill report` of a run with one million samples: time and peak memory of the real binary."""

import statistics
import tempfile
from pathlib import Path

from . import CACHE, Limits, builds
from .processes import once, peak_kib, told

SAMPLES = 1_000_000
LIMIT_SECONDS = 1.0
LIMIT_MIB = 100.0


def measure(given: Path | None, runs: int | None, limits: Limits) -> None:
    binary, tool = builds.both(given)
    runs = runs or 5
    CACHE.mkdir(parents=True, exist_ok=True)
    # In the cache and not in the system's temporary directory, which may be in memory: a journal refuses such a place.
    with tempfile.TemporaryDirectory(prefix="report-", dir=CACHE) as folder:
        state, out = Path(folder, "state"), Path(folder, "out")
        run = told([str(tool), "journal", str(state), "--samples", str(SAMPLES)])
        size = sum(file.stat().st_size for file in state.rglob("*") if file.is_file())
        command = [str(binary), "report", run["run"], "--state-dir", str(state), "--out", str(out)]
        once(command)  # the page cache is warm from here on
        seconds = [once(command) for _ in range(runs)]
        # A part at a time says where the time goes.
        parts = {what: min(once([*command, "--format", what]) for _ in range(2)) for what in ("html", "json", "jsonl")}
        peak = max(peak_kib(command) for _ in range(2)) / 1024
        written = {file.name: file.stat().st_size for file in out.iterdir()}
    took = statistics.median(seconds)
    print(f"a run of {run['samples']:,} samples; its journal takes {size / 1e6:.0f} MB; medians of {runs} runs with a warm page cache\n")
    print(f"every file      {took:8.2f} s  ({min(seconds):.2f}–{max(seconds):.2f})   peak {peak:.0f} MiB")
    for what, value in parts.items():
        print(f"only {what:11}{value:8.2f} s  ({written.get(FILES[what], 0) / 1e6:.1f} MB)")
    print()
    limits.hold(f"report of {SAMPLES:,} samples", took <= LIMIT_SECONDS, f"{took:.2f} s, limit {LIMIT_SECONDS:.0f} s")
    limits.hold(f"report of {SAMPLES:,} samples, peak memory", peak <= LIMIT_MIB, f"{peak:.0f} MiB, limit {LIMIT_MIB:.0f} MiB")


FILES = {"html": "report.html", "json": "report.json", "jsonl": "events.jsonl"}
