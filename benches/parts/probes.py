"""1,000 HTTP probes at 1 s through real runs at once, each with the most objectives that a drill may have: no missed tick, and little CPU."""

import collections
import contextlib
import datetime
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from . import CACHE, Limits, builds
from .processes import accepts, background, cpu_seconds, free_port, raise_descriptor_limit, talking

EACH = 200
# A run each, and a service that its rule is about: a rule of one run must not hide the end of another's.
SERVICES = ("sqs", "sns", "kinesis", "firehose", "events")
RUNS = len(SERVICES)
WATCHED = 60
BASELINE = 5
LIMIT_CORE = 0.25


def measure(given: Path | None, _runs: int | None, limits: Limits) -> None:
    raise_descriptor_limit()
    binary, tool = builds.both(given)
    CACHE.mkdir(parents=True, exist_ok=True)
    # In the cache: a journal refuses a place in memory, which the system's temporary directory may be.
    with tempfile.TemporaryDirectory(prefix="probes-", dir=CACHE) as name, talking([str(tool), "origin"]) as (_, origin):
        folder, port = Path(name), free_port()
        control = folder / "gateway.sock"
        with background([str(binary), "gateway", "--listen", f"127.0.0.1:{port}", "--socket", str(control)]) as gateway:
            if not accepts(gateway, port):
                raise SystemExit("scripts/bench: error: the gateway does not listen")
            streams, share, whole = rehearse(binary, folder, origin["listen"], control)
    print(f"{RUNS} runs at once with {EACH} objectives each, one http probe an objective, every second for {WATCHED} s; the origin's CPU is not counted\n")
    count = due = missed = 0
    bad: collections.Counter[str] = collections.Counter()
    late: list[float] = []
    for events in streams:
        samples = [event for event in events if event["type"] == "sample"]
        count += len(samples)
        bad.update(sample["detail"] for sample in samples if sample["health"] != "good")
        expected, without, delays = ticks(samples)
        due, missed, late = due + expected, missed + without, late + delays
    print(
        f"samples {count:,}, due {due:,}; begun after they were due: median {statistics.median(late):.1f} ms, "
        f"99 % within {sorted(late)[len(late) * 99 // 100]:.1f} ms, longest {max(late):.0f} ms"
    )
    print(f"CPU {share * 100:.1f} % of a core while watching, {whole:.1f} s in the whole runs, reports included\n")
    limits.hold("probes: missed ticks", missed == 0, f"{missed} of {due:,}, limit 0")
    said = "".join(f"; {number} × {detail}" for detail, number in bad.most_common(3))
    limits.hold("probes: readings that were not good", not bad, f"{bad.total()}, limit 0{said}")
    limits.hold("probes: CPU", share <= LIMIT_CORE, f"{share * 100:.1f} % of a core, limit {LIMIT_CORE * 100:.0f} %")


def ticks(samples: list[dict]) -> tuple[int, int, list[float]]:
    """Ticks that were due, those that have no sample, and how late the others began, in ms. All objectives of a run share one grid."""
    began: dict[str, list[float]] = {}
    for sample in samples:
        began.setdefault(sample["objective"], []).append(datetime.datetime.fromisoformat(sample["began"]).timestamp())
    every = [at for times in began.values() for at in times]
    # No reading begins before it is due, so the grid lies at the earliest place within the second. The first reading may itself have been late.
    first = min(every)
    first += min((at - first + 0.5) % 1 - 0.5 for at in every)
    # The last tick may have been cut off by the end of the run.
    count = int(max(every) - first)
    missed, late = (EACH - len(began)) * count, []
    for times in began.values():
        seen = {int(at - first + 1e-6) for at in times}
        missed += sum(number not in seen for number in range(count))
        late += [(at - first + 1e-6) % 1 * 1000 for at in times]
    return EACH * count, missed, late


def rehearse(binary: Path, folder: Path, origin: str, control: Path) -> tuple[list[list[dict]], float, float]:
    """Runs drills whose fault touches nothing that is watched: their events, CPU as a share of a core while watching, CPU seconds of all of it."""
    environment = {
        "apiVersion": "firedrill.dev/v1alpha1",
        "kind": "Environment",
        "metadata": {"name": "bench"},
        "spec": {
            "network": {"allowPrivate": True},
            "gateways": [{"name": "edge", "connection": {"socket": str(control)}}],
            "allow": {"faults": ["gatewayRefuse"]},
        },
    }
    (folder / "environment.yaml").write_text(json.dumps(environment))  # JSON is YAML
    commands = []
    for number in range(RUNS):
        file, out = folder / f"drill-{number}.yaml", folder / f"out-{number}"
        file.write_text(json.dumps(drill(number, origin)))
        commands.append(
            [str(binary), "run", str(file), "--env", str(folder / "environment.yaml"), "--state-dir", str(folder / f"state-{number}"), "--report-dir", str(out)]
        )
    with contextlib.ExitStack() as stack:
        runs: list[subprocess.Popen] = []
        # Whatever happens here, no run stays: it undoes its fault and ends.
        stack.callback(lambda: [run.terminate() for run in runs if run.returncode is None])
        for number, command in enumerate(commands):
            said = stack.enter_context((folder / f"said-{number}").open("w"))
            runs.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said))
        # Behind the start, which opens all probes, and before the end, which writes the reports.
        time.sleep(BASELINE)
        before, started = sum(cpu_seconds(run.pid) for run in runs), time.monotonic()
        time.sleep(WATCHED - 2)
        share = (sum(cpu_seconds(run.pid) for run in runs) - before) / (time.monotonic() - started)
        whole = 0.0
        for number, run in enumerate(runs):
            _, status, usage = os.wait4(run.pid, 0)
            run.returncode = os.waitstatus_to_exitcode(status)
            whole += usage.ru_utime + usage.ru_stime
            if run.returncode != 0:
                said = "\n".join(line for line in (folder / f"said-{number}").read_text().splitlines() if "objective checkout" not in line)[:3000]
                raise SystemExit(f"scripts/bench: error: exit code {run.returncode} of {' '.join(commands[number])}\n{said}")
    streams = [(folder / f"out-{number}" / "events.jsonl").read_text().splitlines() for number in range(RUNS)]
    return [[json.loads(line) for line in lines] for lines in streams], share, whole


def drill(number: int, origin: str) -> dict:
    objectives = [
        {
            "id": f"checkout-{objective:03}",
            "probe": {"http": {"url": f"http://{origin}/healthz/{number}/{objective}", "expectStatus": 200}},
            "interval": "1s",
            "timeout": "1s",
            "availability": "50%",
        }
        for objective in range(EACH)
    ]
    return {
        "apiVersion": "firedrill.dev/v1alpha1",
        "kind": "Drill",
        "metadata": {"name": f"many-probes-{number}"},
        "spec": {
            "summary": "Many probes are read every second",
            "owner": "bench",
            "hypothesis": "No reading is missed.",
            "failedRegion": "us-east-1",
            "survivingRegions": ["us-west-2"],
            "baseline": f"{BASELINE}s",
            "hold": f"{WATCHED}s",
            "undoBy": "10m",
            "objectives": objectives,
            "steps": [{"id": "refused", "fault": {"gatewayRefuse": {"gateway": "edge", "services": [SERVICES[number]]}}, "limit": "15s"}],
            "limits": {"maxTargets": 1},
        },
    }
