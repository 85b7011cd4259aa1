"""500 subnets isolated and restored on the AWS emulator at 50 ms an answer, beside the same changes by a plain EC2 client, 32 at once and one by one.

What is compared is a drill's step from its start until the last subnet is cut off, and its undo until the last subnet is read back as it was. The plain
client makes the same changes: a clone of each network ACL with its entries, one replacement for each subnet; then one back for each, and the clones deleted.
It reads what a careful script must: all network ACLs before the first change (their associations are what is replaced), and all again at the end, to see
that everything is back. It remembers nothing, marks nothing, and does not look at an ACL between that. Verifying that the fault bites lies between the two
times and is printed apart. Calls are counted in the emulator's log; a drill's are those of the two times. Each round does raw calls and a drill, one after
the other; the client that asks one by one takes a minute, is far from its limit, and does it once.
"""

import collections
import contextlib
import json
import os
import re
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from . import CACHE, ROOT, Limits, builds
from .rehearsal import drill, instants, when

SUBNETS = 500
REGION = "us-east-1"
DELAY_MS = 50
# What a step and an undo have in flight.
AT_ONCE = 32
LIMIT = 1.2
LIMIT_SEQUENTIAL = 5
# One alone is off by a quarter, either way: the emulator is one process of Python.
ROUNDS = 9


def measure(given: Path | None, runs: int | None, limits: Limits) -> None:
    binary, tool = builds.both(given, aws=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    # In the cache: a journal refuses a place in memory, which the system's temporary directory may be.
    with tempfile.TemporaryDirectory(prefix="aws-", dir=CACHE) as name, testbed(Path(name) / "bed") as bed:
        folder, log = Path(name), Log(bed)
        against_raw, took = [], []
        for number in range((runs or ROUNDS) + 1):
            raw, raw_calls = plain(tool, bed, log, AT_ONCE)
            guarded, guarded_calls = rehearse(binary, folder / f"round-{number}", bed, log)
            if not number:
                continue  # The first is for caches and connections.
            ours = guarded["isolate"] + guarded["restore"]
            against_raw.append(ours / sum(raw))
            took.append(ours)
            print(f"round {number}: {SUBNETS} subnets to isolate and to restore: raw calls {raw[0]:.1f} + {raw[1]:.1f} s; firedrill {guarded['isolate']:.1f} + {guarded['restore']:.1f} s, "
                  f"{guarded['verify']:.1f} s to verify in between, {guarded['plan']:.1f} s to plan", flush=True)
        sequential, sequential_calls = plain(tool, bed, log, 1)
        print(f"one by one {sequential[0]:.1f} + {sequential[1]:.1f} s")
        for who, calls in (("raw calls", raw_calls), ("firedrill", guarded_calls), ("one by one", sequential_calls)):
            print(f"  {who + ':':<12}{told(calls)}", flush=True)
    ratio, faster = statistics.median(against_raw), sum(sequential) / statistics.median(took)
    print()
    limits.hold(f"{SUBNETS} subnets isolated and restored, against raw calls {AT_ONCE} at once", ratio <= LIMIT, f"{ratio:.2f}, limit {LIMIT:.2f}")
    limits.hold("and how many times faster than one call after the other", faster >= LIMIT_SEQUENTIAL, f"{faster:.1f}, limit {LIMIT_SEQUENTIAL}")


@contextlib.contextmanager
def testbed(directory: Path) -> Iterator[dict]:
    """The emulator, whose every answer takes its time from when the world is laid out."""
    command = [str(ROOT / "scripts" / "testbed"), "aws", "run", "--directory", str(directory), "--subnets", str(SUBNETS), "--instances", "0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            if not line:
                raise SystemExit("scripts/bench: error: the AWS emulator did not start")
            bed = json.loads(line)
            ask(bed, "script", {"everyAnswer": {"delay": DELAY_MS}})
            yield bed
        finally:
            process.stdin.close()


def ask(bed: dict, what: str, told: dict | None = None):
    """The emulator's own answers."""
    body = None if told is None else json.dumps(told).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(f"{bed['control']}/{what}", data=body), timeout=60) as answer:
        return json.load(answer)


class Log:
    """The emulator's call log, read on from where it was read last."""

    def __init__(self, bed: dict) -> None:
        self.bed, self.last = bed, 0
        self.more()

    def more(self) -> list[dict]:
        """Calls that came since then."""
        calls = ask(self.bed, f"calls?since={self.last}")
        self.last = calls[-1]["n"] if calls else self.last
        return calls


def counted(calls: list[dict]) -> collections.Counter:
    """How many of each action, and of each refusal."""
    return collections.Counter(call["action"] if call["status"] == 200 else f"{call['action']} ({call['code']})" for call in calls)


def told(calls: collections.Counter) -> str:
    reads = sum(count for action, count in calls.items() if action.startswith("Describe"))
    return f"{calls.total()} calls, {reads} of them reads ({', '.join(f'{count} {action}' for action, count in calls.most_common())})"


def environment(bed: dict) -> dict:
    """Nobody's profile, proxy or credentials but the emulator's."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_") and not name.lower().endswith("_proxy")}
    nothing = str(Path(bed["directory"]) / "no-profile")
    return {**clean, "AWS_ACCESS_KEY_ID": bed["accessKeyId"], "AWS_SECRET_ACCESS_KEY": bed["secretAccessKey"], "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": nothing, "AWS_SHARED_CREDENTIALS_FILE": nothing}


def plain(tool: Path, bed: dict, log: Log, at_once: int) -> tuple[tuple[float, float], collections.Counter]:
    """Seconds to isolate and to restore, and the calls of both."""
    log.more()
    command = [str(tool), "isolate", "--endpoint", bed["endpoint"], "--region", REGION, "--at-once", str(at_once)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(bed))
    if done.returncode:
        raise SystemExit(f"scripts/bench: error: exit {done.returncode} of {' '.join(command)}\n{done.stdout}{done.stderr}")
    said = json.loads(done.stdout)
    if said["subnets"] != SUBNETS:
        raise SystemExit(f"scripts/bench: error: {said['subnets']} subnets were isolated, not {SUBNETS}")
    # It connects with a call that is in neither time.
    calls = [call for call in log.more() if call["action"] != "DescribeVpcs"]
    return (said["isolate"], said["restore"]), counted(calls)


def rehearse(binary: Path, folder: Path, bed: dict, log: Log) -> tuple[dict[str, float], collections.Counter]:
    """Seconds of the parts of a run, and the calls while it isolated and while it restored."""
    log.more()
    port = int(re.search(r":(\d+)$", bed["endpoint"])[1])
    step = {"id": "isolated", "fault": {"subnetIsolate": {"account": "main", "subnets": {"tags": {"env": "staging"}}}}}
    command = [str(binary), *drill(folder, "Every subnet is isolated", port, step, bed["environment"])]
    began = time.time()
    at = instants(command, folder, SUBNETS, environment(bed))
    times = [(at["stepStarted"][0], max(at["injected"])), (at["undoStarted"][0], max(at["reverted"]))]
    calls = [call for call in log.more() if any(start <= when(call["at"]) <= end for start, end in times)]
    return {
        "plan": at["runStarted"][0] - began,
        "isolate": times[0][1] - times[0][0],
        "verify": max(at["verified"]) - max(at["injected"]),
        "restore": times[1][1] - times[1][0],
    }, counted(calls)
