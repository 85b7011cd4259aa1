"""The gateway's pass-through beside a direct connection and its peers, all with the same origin and the same load generator.

The proxies take turns within every round, and a figure is compared with the one of the same round: a busy machine slows both.
"""

import contextlib
import datetime
import json
import os
import socket
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import Limits, builds, peers
from .processes import accepts, background, cpu_seconds, free_port, raise_descriptor_limit, resident_kib, talking, told

HOST = "dynamodb.us-east-1.amazonaws.com"
CONNECTIONS = (1, 16, 64)
NEW_AT_ONCE = 16
MILLIS = 1000
DOWNLOAD = 512 * 1024 * 1024
IDLE = 2000
RULES = 1000
LIMIT_IDLE_KIB = 16.0
# Medians of the same binary, measured against itself, differ by this much on a quiet machine: equal proxies would else fail every other time.
NOISE = 0.07
NOISE_P99 = 0.15


@dataclass
class Way:
    """A way from the load generator to the origin."""

    name: str
    target: str
    connect: str | None = None
    pid: int | None = None

    def arguments(self) -> list[str]:
        return ["--target", self.target, *(["--connect", self.connect] if self.connect else [])]


def measure(given: Path | None, runs: int | None, limits: Limits) -> None:
    raise_descriptor_limit()
    binary, tool = builds.both(given)
    runs = runs or 7
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="firedrill-bench-")))
        _, origin = stack.enter_context(talking([str(tool), "origin"]))
        ways = [Way("direct", origin["listen"])]
        ways.append(stack.enter_context(firedrill(binary, folder, origin["listen"], 0)))
        ways.append(stack.enter_context(firedrill(binary, folder, origin["listen"], RULES)))
        for peer in (fault, toxiproxy, squid):
            way, why_not = stack.enter_context(peer(folder, origin["listen"]))
            if way:
                ways.append(way)
            else:
                print(f"NOT COMPARED with {peer.__name__}: {why_not}")
        figures = rounds(tool, ways, runs)
        idle = {way.name: idle_kib(tool, way) for way in ways if way.pid}
    table(ways, figures, idle, runs)
    judge(figures, idle, limits)


# One measurement: its name, what it asks of the load generator, whether more is better, how it is shown.
MEASURES = [
    *(("requests", count, ["requests", "--connections", str(count), "--millis", str(MILLIS)]) for count in CONNECTIONS),
    ("connects", NEW_AT_ONCE, ["connects", "--connections", str(NEW_AT_ONCE), "--millis", str(MILLIS)]),
    ("download", 1, ["download", "--bytes", str(DOWNLOAD)]),
]

Figures = dict[tuple[str, str], list[float]]


def rounds(tool: Path, ways: list[Way], runs: int) -> Figures:
    """All figures by measurement and way, one a round; the first round warms up and does not count."""
    figures: Figures = {}
    for number in range(runs + 1):
        for kind, count, arguments in MEASURES:
            for place in range(len(ways)):
                way = ways[(place + number) % len(ways)]
                before = cpu_seconds(way.pid) if way.pid else 0.0
                said = told([str(tool), *arguments, *way.arguments()])
                used = cpu_seconds(way.pid) - before if way.pid else 0.0
                if number == 0:
                    continue
                found = {"MB/s": said["megabytesPerSecond"], "CPU ms/MB": used * 1000 / (DOWNLOAD / 1e6)} if kind == "download" else {
                    f"{kind}/s, {count}": said["perSecond"],
                    f"{kind} p99 µs, {count}": said["p99"],
                    f"{kind} CPU µs, {count}": used * 1e6 / said["requests"],
                }
                for name, value in found.items():
                    figures.setdefault((name, way.name), []).append(value)
    return figures


def idle_kib(tool: Path, way: Way) -> float:
    """What an idle connection adds to the resident memory of its proxy, in KiB."""
    before = resident_kib(way.pid)
    with talking([str(tool), "idle", "--connections", str(IDLE), *way.arguments()]) as (_, said):
        return (resident_kib(way.pid) - before) / said["open"]


def table(ways: list[Way], figures: Figures, idle: dict[str, float], runs: int) -> None:
    print(f"medians of {runs} interleaved rounds; load {os.getloadavg()[0]:.1f} at the end\n")
    print(f"{'':22}" + "".join(f"{way.name:>18}" for way in ways))
    for name in dict.fromkeys(name for name, _ in figures):
        values = [statistics.median(figures[name, way.name]) for way in ways]
        if "CPU" in name and not ways[0].pid:
            values[0] = 0
        digits = 0 if max(values) >= 100 else 1 if max(values) >= 10 else 2
        print(f"{name:22}" + "".join(f"{value:18,.{digits}f}" if value else f"{'–':>18}" for value in values))
    print(f"{'idle KiB/connection':22}" + "".join(f"{idle[way.name]:18.1f}" if way.pid else f"{'–':>18}" for way in ways))
    print()


def judge(figures: Figures, idle: dict[str, float], limits: Limits) -> None:
    def ratio(name: str, ours: str, other: str) -> float | None:
        """Median of the ratios of the rounds."""
        if (name, other) not in figures:
            return None
        return statistics.median(a / b for a, b in zip(figures[name, ours], figures[name, other], strict=True))

    def compare(name: str, ours: str, other: str, least: float | None = None, most: float | None = None) -> None:
        value = ratio(name, ours, other)
        if value is None:
            return
        good = (least is None or value >= least) and (most is None or value <= most)
        limits.hold(f"{name}: {ours} against {other}", good, f"{value:.2f}, limit {'≥' if least else '≤'} {least or most:.2f}")

    empty, ruled = "firedrill", f"{RULES:,} rules"
    for ours in (empty, ruled):
        for count in CONNECTIONS:
            compare(f"requests/s, {count}", ours, "fault-cli", least=1.0 - NOISE)
            compare(f"requests p99 µs, {count}", ours, "fault-cli", most=1.0 + NOISE_P99)
        compare(f"connects/s, {NEW_AT_ONCE}", ours, "fault-cli", least=1.0 - NOISE)
        compare("MB/s", ours, "squid", least=1.0)
        limits.hold(f"idle connection: {ours}", idle[ours] <= LIMIT_IDLE_KIB, f"{idle[ours]:.1f} KiB, limit {LIMIT_IDLE_KIB:.0f} KiB")
    for count in CONNECTIONS:
        compare(f"requests/s, {count}", ruled, empty, least=1 - NOISE)
    compare(f"connects/s, {NEW_AT_ONCE}", ruled, empty, least=1 - NOISE)
    for count in CONNECTIONS:
        print(f"        requests/s, {count}: firedrill against direct: {ratio(f'requests/s, {count}', empty, 'direct'):.2f}")


@contextlib.contextmanager
def firedrill(binary: Path, folder: Path, origin: str, rules: int) -> Iterator[Way]:
    """Our gateway. The origin has an AWS name there, so that rules are asked; they are about other services, and other regions."""
    port, control = free_port(), folder / f"gateway-{rules}.sock"
    command = [str(binary), "gateway", "--listen", f"127.0.0.1:{port}", "--socket", str(control), "--resolve", f"{HOST}={origin}"]
    with background(command) as process:
        if not accepts(process, port):
            raise SystemExit(f"scripts/bench: error: the gateway does not listen: {' '.join(command)}")
        until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
        with socket.socket(socket.AF_UNIX) as steering:
            steering.connect(str(control))
            lines = steering.makefile("rw")
            for number in range(rules):
                service, region = ("sqs", "us-east-1") if number % 2 else ("dynamodb", "eu-west-1")
                rule = {"id": f"bench-{number}", "run": "bench", "step": "bench", "effect": "blackhole", "services": [service], "region": region}
                lines.write(json.dumps({"put": {"rule": {**rule, "cutExisting": False, "deadline": until.isoformat()}}}) + "\n")
                lines.flush()
                said = json.loads(lines.readline())
                if said != {"done": {"changed": True}}:
                    raise SystemExit(f"scripts/bench: error: the gateway did not take a rule: {said}")
        yield Way(f"{rules:,} rules" if rules else "firedrill", f"127.0.0.1:{port}", f"{HOST}:80", process.pid)


@contextlib.contextmanager
def peer(name: str, command: list[str], port: int, connect: str | None = None, **popen: object) -> Iterator[tuple[Way | None, str]]:
    with background(command, **popen) as process:
        if accepts(process, port):
            yield Way(name, f"127.0.0.1:{port}", connect, process.pid), ""
        else:
            yield None, f"it does not listen: {' '.join(command)}"


@contextlib.contextmanager
def fault(folder: Path, origin: str) -> Iterator[tuple[Way | None, str]]:
    """fault-cli, which proxies TCP; without faults."""
    path, why_not = peers.fault()
    if not path:
        yield None, why_not
        return
    port, config = free_port(), folder / "fault.json"
    proxy = {"name": "origin", "protocol": "tcp", "listen": f"127.0.0.1:{port}", "upstream": origin}
    config.write_text(json.dumps({"schema_version": 1, "name": "pass", "proxies": [proxy], "phases": [{"name": "pass", "proxies": []}]}))
    with peer("fault-cli", [path, "--output", "json", "run", str(config)], port) as found:
        yield found


@contextlib.contextmanager
def toxiproxy(folder: Path, origin: str) -> Iterator[tuple[Way | None, str]]:
    """toxiproxy, which proxies TCP; without toxics."""
    path, why_not = peers.toxiproxy()
    if not path:
        yield None, why_not
        return
    port, config = free_port(), folder / "toxiproxy.json"
    config.write_text(json.dumps([{"name": "origin", "listen": f"127.0.0.1:{port}", "upstream": origin, "enabled": True}]))
    command = [path, "-host", "127.0.0.1", "-port", str(free_port()), "-config", str(config)]
    with peer("toxiproxy", command, port, env={**os.environ, "LOG_LEVEL": "error"}) as found:
        yield found


@contextlib.contextmanager
def squid(folder: Path, origin: str) -> Iterator[tuple[Way | None, str]]:
    """squid, by CONNECT, without cache and access log: a log costs up to a quarter of the speed."""
    path, why_not = peers.squid()
    if not path:
        yield None, why_not
        return
    port, home, config = free_port(), folder / "squid", folder / "squid.conf"
    home.mkdir(mode=0o777)
    home.chmod(0o777)  # started by root it becomes another user
    folder.chmod(0o711)
    config.write_text(
        f"http_port 127.0.0.1:{port}\nhttp_access allow all\ncache deny all\naccess_log none\ncache_store_log none\ncache_log {home}/cache.log\n"
        f"pid_filename {home}/squid.pid\ncoredump_dir {home}\nmax_filedescriptors 16384\nshutdown_lifetime 0 seconds\npinger_enable off\n"
    )
    config.chmod(0o644)
    with peer("squid", [path, "-N", "-f", str(config)], port, origin) as found:
        yield found
