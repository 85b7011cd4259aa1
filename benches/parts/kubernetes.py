"""1,000 nodes cordoned and uncordoned on a real control plane, beside as many raw patches by a plain kube client, and `kubectl cordon`.

Each round does both, one after the other, on the same cluster; a figure is compared with the one of the same round. The controller manager answers every
cordon with a taint of its own, for seconds after the last one: all four parts of a round begin when it is done, the undo after a hold that is long enough.
Ctrl-C, too, is pressed when it is done; how long the first revert takes beside it, on the same few cores, is printed.
"""

import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from . import CACHE, ROOT, Limits, builds
from .rehearsal import drill, instants, when

NODES = 1000
# The fastest that was seen: the API server saturates two cores, and more calls at once only wait for each other.
AT_ONCE = 32
LIMIT = 1.2
LIMIT_FIRST_REVERT = 0.050
# The controller manager is done by then; it is looked at.
HOLD = "20s"


def measure(given: Path | None, runs: int | None, limits: Limits) -> None:
    binary, tool = builds.both(given)
    CACHE.mkdir(parents=True, exist_ok=True)
    # In the cache: a journal refuses a place in memory, which the system's temporary directory may be.
    with tempfile.TemporaryDirectory(prefix="kubernetes-", dir=CACHE) as name, testbed(Path(name) / "bed") as bed:
        folder, cluster = Path(name), bed["clusters"][0]
        raw, ours, cordons = [], [], []
        for number in range((runs or 3) + 1):
            plain = patches(tool, cluster, False) + patches(tool, cluster, True)
            settled(cluster)
            guarded = rehearse(binary, folder / f"round-{number}", bed["environment"], Path(cluster["audit"]))
            if number:
                raw.append(plain)
                ours.append(guarded["inject"] + guarded["undo"])
                cordons.append(guarded["inject"])
                print(f"round {number}: raw patches {plain:.1f} s; firedrill {guarded['inject']:.1f} s to cordon, {guarded['undo']:.1f} s to uncordon and read back, "
                      f"{guarded['verify']:.1f} s to verify in between, {guarded['plan']:.1f} s to plan", flush=True)
        first = [first_revert(binary, folder / f"abort-{number}", bed["environment"], cluster, busy=False) for number in range(5)]
        beside = [first_revert(binary, folder / f"busy-{number}", bed["environment"], cluster, busy=True) for number in range(5)]
        kubectl = by_kubectl(bed, cluster)
    print(f"kubectl cordon of the same nodes: {kubectl:.0f} s, {kubectl / statistics.median(cordons):.0f} times firedrill's")
    print(f"first revert call after Ctrl-C while the controller manager still answers the cordon: {milliseconds(beside)}\n")
    ratio = statistics.median(a / b for a, b in zip(ours, raw, strict=True))
    limits.hold(f"{NODES:,} nodes cordoned and uncordoned, against raw patches", ratio <= LIMIT, f"{ratio:.2f}, limit {LIMIT:.2f}")
    limits.hold("first revert call after Ctrl-C", statistics.median(first) <= LIMIT_FIRST_REVERT, f"{milliseconds(first)}, limit {LIMIT_FIRST_REVERT * 1000:.0f} ms")


def milliseconds(seconds: list[float]) -> str:
    """The median, and the range."""
    return f"{statistics.median(seconds) * 1000:.0f} ms ({min(seconds) * 1000:.0f} to {max(seconds) * 1000:.0f})"


@contextlib.contextmanager
def testbed(directory: Path) -> Iterator[dict]:
    """One cluster with nothing but nodes."""
    command = [str(ROOT / "scripts" / "testbed"), "run", "--directory", str(directory), "--cluster", "east", "--nodes", str(NODES), "--pods", "0", "--deployments", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            if not line:
                raise SystemExit("scripts/bench: error: the testbed did not start")
            yield json.loads(line)
        finally:
            process.stdin.close()


def settled(cluster: dict) -> None:
    """Waits until nothing has been changed in the cluster for a second."""
    size, since, end = -1, 0.0, time.monotonic() + 120
    while time.monotonic() < end:
        now = Path(cluster["audit"]).stat().st_size
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > 1:
            return
        time.sleep(0.1)
    raise SystemExit("scripts/bench: error: the cluster does not come to rest")


def patches(tool: Path, cluster: dict, undo: bool) -> float:
    settled(cluster)
    command = [str(tool), "cordon", "--kubeconfig", cluster["kubeconfig"], "--at-once", str(AT_ONCE), *(["--undo"] if undo else [])]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if said["nodes"] != NODES:
        raise SystemExit(f"scripts/bench: error: {said['nodes']} nodes were patched, not {NODES}")
    return said["seconds"]


def cordon(folder: Path, environment: str, hold: str) -> list[str]:
    """The arguments that run a drill which cordons every node, watched by a probe of the API server's port."""
    kubeconfig = (Path(environment).parent / "east.kubeconfig").read_text()
    port = int(re.search(r"https://127\.0\.0\.1:(\d+)", kubeconfig)[1])
    step = {"id": "cordoned", "fault": {"nodeCordon": {"cluster": "east", "nodes": {"labels": {"topology.kubernetes.io/region": "us-east-1"}}}}}
    return drill(folder, "Every node is cordoned", port, step, environment, hold)


def rehearse(binary: Path, folder: Path, environment: str, audit: Path) -> dict[str, float]:
    """Seconds of the parts of a run."""
    command = [str(binary), *cordon(folder, environment, HOLD)]
    began, size = time.time(), audit.stat().st_size
    at = instants(command, folder, NODES)
    late = sum(0 < at["undoStarted"][0] - when(entry["stageTimestamp"]) < 1 for entry in entries(audit, size))
    if late:
        raise SystemExit(f"scripts/bench: error: the cluster was still at work when the undo began: {late} changes in the second before; make HOLD longer")
    return {
        "plan": at["runStarted"][0] - began,
        "inject": max(at["injected"]) - at["stepStarted"][0],
        "verify": max(at["verified"]) - max(at["injected"]),
        "undo": max(at["reverted"]) - at["undoStarted"][0],
    }


def first_revert(binary: Path, folder: Path, environment: str, cluster: dict, *, busy: bool) -> float:
    """Seconds from Ctrl-C in the hold to the first revert that the API server got, by its own audit log."""
    audit = Path(cluster["audit"])
    with subprocess.Popen([str(binary), *cordon(folder, environment, "10m")], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as run:
        for line in run.stderr:
            if "hold:" in line:
                break
        time.sleep(1)
        if not busy:
            settled(cluster)
        size, asked = audit.stat().st_size, time.time()
        run.send_signal(signal.SIGINT)
        run.communicate()
    for entry in entries(audit, size):
        if "fieldManager=firedrill" in entry["requestURI"]:
            return when(entry["requestReceivedTimestamp"]) - asked
    raise SystemExit("scripts/bench: error: nothing was reverted")


def entries(audit: Path, size: int) -> Iterator[dict]:
    """What the audit log has beyond this many bytes."""
    with audit.open() as log:
        log.seek(size)
        yield from map(json.loads, log)


def by_kubectl(bed: dict, cluster: dict) -> float:
    began = time.perf_counter()
    command = [bed["kubectl"], "--kubeconfig", cluster["kubeconfig"], "cordon", "-l", "topology.kubernetes.io/region=us-east-1"]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "HOME": str(Path(bed["environment"]).parent)})
    return time.perf_counter() - began
