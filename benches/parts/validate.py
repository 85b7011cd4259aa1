"""`firedrill validate` on one drill and on 1,000, beside chaostoolkit's `chaos validate`."""

import shutil
import statistics
import tempfile
from pathlib import Path

from . import ROOT, Limits, builds, peers
from .processes import once, peak_kib

DRILL = ROOT / "benches" / "validate" / "drill.yaml"
EXPERIMENT = ROOT / "benches" / "validate" / "chaos-experiment.json"
MANY = 1000
LIMIT_ONE_MS = 10.0
LIMIT_MANY_MS = 1000.0


def measure(given: Path | None, runs: int | None, limits: Limits) -> None:
    binary, runs = builds.firedrill(given), runs or 11
    with tempfile.TemporaryDirectory(prefix="firedrill-bench-") as folder:
        one = Path(folder, "one.yaml")
        one.write_text(drill("evacuate-us-east-1"))
        many = Path(folder, "many")
        many.mkdir()
        for number in range(MANY):
            Path(many, f"{number:04}.yaml").write_text(drill(f"evacuate-{number:04}"))

        commands = {
            "one": [str(binary), "validate", str(one)],
            "many": [str(binary), "validate", str(many)],
            "nothing": [shutil.which("true") or "/bin/true"],
        }
        chaos, why_not = peers.chaostoolkit()
        if chaos:
            commands["chaos"] = [chaos, "--no-version-check", "--no-log-file", "validate", str(EXPERIMENT)]

        for command in commands.values():
            once(command)  # fills the page cache; a command that fails ends the measurement here
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        peak = {name: max(peak_kib(command) for _ in range(3)) for name, command in commands.items()}
        for _ in range(runs):
            for name, command in commands.items():
                seconds[name].append(once(command) * 1000)

    median = {name: statistics.median(values) for name, values in seconds.items()}
    spread = {name: f"{min(values):.1f}–{max(values):.1f}" for name, values in seconds.items()}
    print(f"medians of {runs} interleaved runs; starting a process that does nothing takes {median['nothing']:.1f} ms here\n")
    print(f"{'':44}{'median ms':>10}  {'range ms':>15}  {'of limit':>9}  {'peak MiB':>8}")

    def row(label: str, name: str, limit: float | None) -> None:
        ratio = f"{median[name] / limit:.2f}" if limit else ""
        print(f"{label:44}{median[name]:10.1f}  {spread[name]:>15}  {ratio:>9}  {peak[name] / 1024:8.1f}")

    row("firedrill validate, 1 drill", "one", LIMIT_ONE_MS)
    row(f"firedrill validate, {MANY:,} drills", "many", LIMIT_MANY_MS)
    if chaos:
        row(f"chaos validate {peers.CHAOSTOOLKIT}, 1 experiment", "chaos", None)
        print(f"\n`chaos validate` takes {median['chaos'] / median['one']:.0f} times as long for one file")
        print(f"as `firedrill validate` does, and {median['chaos'] / median['many']:.2f} times as long as {MANY:,} drills do")
    else:
        print(f"\nNOT COMPARED with `chaos validate`: {why_not}")
    print()
    limits.hold("validate, one drill", median["one"] <= LIMIT_ONE_MS, f"{median['one']:.1f} ms, limit {LIMIT_ONE_MS:.0f} ms")
    limits.hold(f"validate, {MANY:,} drills", median["many"] <= LIMIT_MANY_MS, f"{median['many']:.0f} ms, limit {LIMIT_MANY_MS:.0f} ms")


def drill(name: str) -> str:
    return DRILL.read_text().replace("name: bench-drill", f"name: {name}")
