"""The operator with 10,000 schedules, and with 200 runs at the same time: memory, idle CPU, how fast it reacts beyond the API's own latency, calls a run.

The reaction is read from the API server's audit log, which has every writing call: from the answer to whoever created a run to the first writing call about
it that the API server gets. What the API server takes for the calls is in neither end, and printed beside it.
"""

import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from . import CACHE, ROOT, Limits, builds
from .processes import cpu_seconds, status_kib
from .rehearsal import when

SCHEDULES = 10_000
RUNS = 200
NAMESPACE = "firedrill"
API = f"/apis/firedrill.dev/v1alpha1/namespaces/{NAMESPACE}"
# How long it is watched doing nothing.
IDLE = 30


def measure(given: Path | None, _runs: int | None, _limits: Limits) -> None:
    binary = builds.firedrill(given)
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="operator-", dir=CACHE) as name, testbed(Path(name) / "bed") as cluster:
        api = Api(cluster)
        furnish(binary, api, cluster)
        with operator(binary, cluster, Path(name) / "operator.log") as (pid, address, alive):
            figures("as it starts", pid)
            began = time.perf_counter()
            api.each("POST", f"{API}/drillschedules", [schedule(number) for number in range(SCHEDULES)])
            print(f"{SCHEDULES:,} schedules created in {time.perf_counter() - began:.0f} s", flush=True)
            until("every schedule says when it is next due", 900, lambda: due(api) == SCHEDULES, alive)
            print(f"every one says when it is next due {time.perf_counter() - began:.0f} s after the first was created")
            settled(pid)
            figures(f"with {SCHEDULES:,} schedules", pid)
            before, start = cpu_seconds(pid), time.perf_counter()
            time.sleep(IDLE)
            share = (cpu_seconds(pid) - before) / (time.perf_counter() - start)
            print(f"idle: {share:.1%} of a core over {IDLE} s")
            mark = Path(cluster["audit"]).stat().st_size
            at_once(api, pid, alive)
            calls(Path(cluster["audit"]), mark)
            looks(address)


@contextlib.contextmanager
def testbed(directory: Path) -> Iterator[dict]:
    """One cluster with a node for each run."""
    command = [str(ROOT / "scripts" / "testbed"), "run", "--directory", str(directory), "--cluster", "east", "--nodes", str(RUNS), "--pods", "0", "--deployments", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            if not line:
                raise SystemExit("scripts/bench: error: the testbed did not start")
            bed = json.loads(line)
            yield {**bed["clusters"][0], "kubectl": bed["kubectl"]}
        finally:
            process.stdin.close()


class Api:
    """A plain client with a connection for each thread: what is measured waits for it as little as possible."""

    def __init__(self, cluster: dict) -> None:
        config = json.loads(Path(cluster["kubeconfig"]).read_text())
        self.token = config["users"][0]["user"]["token"]
        certificate = Path(cluster["kubeconfig"]).parent / config["clusters"][0]["cluster"]["certificate-authority"]
        self.tls = ssl.create_default_context(cafile=str(certificate))
        self.at = urllib.parse.urlsplit(cluster["server"])
        self.own = threading.local()

    def ask(self, method: str, path: str, body: dict | None = None) -> dict:
        if not hasattr(self.own, "connection"):
            self.own.connection = http.client.HTTPSConnection(self.at.hostname, self.at.port, context=self.tls, timeout=120)
        connection = self.own.connection
        for fresh in (False, True):
            try:
                connection.request(method, path, json.dumps(body) if body else None, {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"})
                answer = connection.getresponse()
                break
            except http.client.RemoteDisconnected:
                # The server ends a connection on which nothing was asked for a while. What changes something is not asked twice.
                if fresh or method != "GET":
                    raise
                connection.close()
        text = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"scripts/bench: error: {method} {path}: {answer.status} {text.decode()[:500]}")
        return json.loads(text)

    def each(self, method: str, path: str, bodies: list[dict]) -> None:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for _ in pool.map(lambda body: self.ask(method, path, body), bodies):
                pass

    def everything(self, path: str) -> list[dict]:
        items, more = [], ""
        while True:
            page = self.ask("GET", f"{path}?limit=500&continue={urllib.parse.quote(more)}")
            items += page["items"]
            more = page["metadata"].get("continue", "")
            if not more:
                return items


def furnish(binary: Path, api: Api, cluster: dict) -> None:
    """The definitions, and a drill and an environment for each run: an environment has one run at a time."""
    crds = subprocess.run([str(binary), "crds"], check=True, capture_output=True).stdout
    kubectl = [cluster["kubectl"], "--kubeconfig", cluster["kubeconfig"]]
    subprocess.run([*kubectl, "apply", "-f", "-"], input=crds, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*kubectl, "wait", "--for=condition=Established", "crd", "--all"], check=True, stdout=subprocess.DEVNULL)
    api.ask("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    nodes = [item["metadata"]["name"] for item in api.ask("GET", "/api/v1/nodes?limit=1000")["items"]]
    environment = {
        "kubernetes": [{"name": "here", "uid": cluster["uid"], "region": "us-east-1", "connection": {"kubeconfigFile": cluster["kubeconfig"]}}],
        "network": {"allowPrivate": True}, "allow": {"faults": ["nodeCordon"], "noDeadMan": True},
    }
    api.each("POST", f"{API}/environments", [made("Environment", f"own-{number}", environment) for number in range(RUNS)])
    api.each("POST", f"{API}/drills", [made("Drill", f"cordon-{number}", drill(node, api.at.port)) for number, node in enumerate(nodes[:RUNS])])


def made(kind: str, name: str, spec: dict) -> dict:
    return {"apiVersion": "firedrill.dev/v1alpha1", "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def drill(node: str, port: int) -> dict:
    step = {"id": "cordoned", "limit": "5m", "fault": {"nodeCordon": {"cluster": "here", "nodes": {"names": [node]}}}}
    probe = {"id": "api", "probe": {"tcp": {"host": "127.0.0.1", "port": port}}, "interval": "1s", "stableFor": "1s", "availability": "1%"}
    return {
        "summary": "A node is cordoned", "owner": "bench", "hypothesis": "Nobody notices.", "failedRegion": "us-east-1", "survivingRegions": ["us-west-2"],
        "baseline": "1s", "hold": "5s", "undoBy": "1h", "objectives": [probe], "steps": [step],
    }


def schedule(number: int) -> dict:
    """Not due while this is measured, and each at a minute of its own."""
    month = (time.gmtime().tm_mon + 5) % 12 + 1
    cron = f"{number % 60} {number // 60 % 24} {number // 1440 % 28 + 1} {month} *"
    return made("DrillSchedule", f"schedule-{number}", {"drill": "cordon-0", "environment": "own-0", "cron": cron, "timeZone": "UTC"})


@contextlib.contextmanager
def operator(binary: Path, cluster: dict, log: Path) -> Iterator[tuple[int, str, Callable[[], None]]]:
    command = [str(binary), "operator", "--namespace", NAMESPACE, "--kubeconfig", cluster["kubeconfig"], "--listen", "127.0.0.1:0"]
    with log.open("w") as into, subprocess.Popen(command, stderr=into, stdout=subprocess.DEVNULL, env={**os.environ, "RUST_LOG": "info"}) as process:
        def alive() -> None:
            if process.poll() is not None:
                raise SystemExit(f"scripts/bench: error: the operator ended, exit {process.returncode}:\n{log.read_text()[-4000:]}")

        try:
            said = re.compile(r"serving .* on ([0-9.:]+)\n")
            until("the operator serves", 30, lambda: said.search(log.read_text()), alive)
            address = said.search(log.read_text())[1]
            until("the operator leads", 60, lambda: leads(address), alive)
            yield process.pid, address, alive
        finally:
            process.terminate()


def fetch(address: str, path: str) -> str:
    with urllib.request.urlopen(f"http://{address}/{path}", timeout=10) as answer:
        return answer.read().decode()


def leads(address: str) -> bool:
    with contextlib.suppress(OSError):  # not yet
        return fetch(address, "readyz") == "leads\n"
    return False


def until(what: str, seconds: float, holds: Callable[[], object], alive: Callable[[], None]) -> None:
    """Waits until it holds, as long as the operator is alive."""
    end = time.monotonic() + seconds
    while not holds():
        alive()
        if time.monotonic() > end:
            raise SystemExit(f"scripts/bench: error: it took more than {seconds:.0f} s until {what}")
        time.sleep(0.5)


def due(api: Api) -> int:
    return sum("next" in item.get("status", {}) for item in api.everything(f"{API}/drillschedules"))


def settled(pid: int) -> None:
    """Waits until the operator has done next to nothing for five seconds."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        before = cpu_seconds(pid)
        time.sleep(5)
        if cpu_seconds(pid) - before < 0.25:
            return


def figures(what: str, pid: int) -> None:
    print(f"memory {what}: {status_kib(pid, 'VmRSS:') / 1024:.0f} MiB resident, {status_kib(pid, 'VmHWM:') / 1024:.0f} MiB at the highest", flush=True)


def at_once(api: Api, pid: int, alive: Callable[[], None]) -> None:
    """Creates the runs together, and waits for their ends."""
    runs = [made("DrillRun", f"run-{number}", {"drill": f"cordon-{number}", "environment": f"own-{number}"}) for number in range(RUNS)]
    before, began = cpu_seconds(pid), time.perf_counter()
    api.each("POST", f"{API}/drillruns", runs)
    most = 0

    def over() -> bool:
        nonlocal most
        phases = Counter(item.get("status", {}).get("phase", "none") for item in api.everything(f"{API}/drillruns"))
        most = max(most, RUNS - phases["over"] - phases["none"])
        return phases["over"] == RUNS

    until(f"{RUNS} runs are over", 900, over, alive)
    length = time.perf_counter() - began
    verdicts = Counter((item["status"].get("verdict"), item["status"].get("inPlace")) for item in api.everything(f"{API}/drillruns"))
    print(f"\n{RUNS} runs of one target, created together: over in {length:.0f} s, at most {most} at once seen, {(cpu_seconds(pid) - before) / RUNS * 1000:.0f} ms of CPU a run")
    figures("meanwhile", pid)
    if verdicts != {("passed", 0): RUNS}:
        raise SystemExit(f"scripts/bench: error: not every run passed and was undone: {dict(verdicts)}")


def calls(audit: Path, mark: int) -> None:
    """How fast the operator reacted, and what it wrote, by the API server's own log."""
    created: dict[str, float] = {}
    reacted: dict[str, float] = {}
    wrote: Counter[str] = Counter()
    took: list[float] = []
    with audit.open() as log:
        log.seek(mark)
        for line in log:
            entry = json.loads(line)
            about = entry["objectRef"]
            received, answered = when(entry["requestReceivedTimestamp"]), when(entry["stageTimestamp"])
            run = about["resource"] == "drillruns"
            if run and entry["verb"] == "create":
                created[about.get("name") or entry["requestObject"]["metadata"]["name"]] = answered
            # It calls as the same user as this part, which only creates runs meanwhile. Access reviews change nothing.
            elif entry["user"]["username"] == "admin" and not about["resource"].endswith("reviews"):
                wrote[f"{entry['verb']} {about['resource']}{'/' + about['subresource'] if about.get('subresource') else ''}"] += 1
                took.append(answered - received)
                if run:
                    reacted.setdefault(about["name"], received)
    reactions = sorted(max(0.0, reacted[name] - at) for name, at in created.items())
    print(f"from the answer to a run's creation to the operator's first call about it: p50 {percentile(reactions, 50)}, p99 {percentile(reactions, 99)}; "
          f"the API server took p50 {percentile(sorted(took), 50)}, p99 {percentile(sorted(took), 99)} for a call")
    print(f"writing calls a run, without Leases and Events: {sum(wrote.values()) / RUNS:.1f}: " + ", ".join(f"{count / RUNS:.1f} {name}" for name, count in wrote.most_common()))


def percentile(values: list[float], percent: int) -> str:
    value = values[min(len(values) - 1, len(values) * percent // 100)]
    return f"{value * 1000:.0f} ms" if value < 10 else f"{value:.1f} s"


def looks(address: str) -> None:
    """The operator's own histogram of one look at an object, its calls of the API included."""
    print("one look at an object, its calls of the API included, since the start:")
    found = re.findall(r'^(\w+)_bucket\{kind="(\w+)",le="([^"]+)"\} (\d+)$', fetch(address, "metrics"), re.MULTILINE)
    for kind in dict.fromkeys(kind for _, kind, _, _ in found):
        rows = [(bound, int(count)) for _, one, bound, count in found if one == kind]
        total = rows[-1][1]
        of = {percent: next(bound for bound, count in rows if count * 100 >= total * percent) for percent in (50, 99)}
        print(f"  {kind}: {total:,} looks, p50 at most {of[50]} s, p99 at most {of[99]} s")
