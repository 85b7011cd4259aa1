"""Runs processes and reads what they cost: wall time, peak and resident memory, CPU time."""

import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path


def once(command: list[str]) -> float:
    """Wall seconds of one run, which must succeed."""
    with tempfile.TemporaryFile() as output:
        actions = [(os.POSIX_SPAWN_DUP2, output.fileno(), 1), (os.POSIX_SPAWN_DUP2, output.fileno(), 2)]
        started = time.perf_counter()
        pid = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
        _, status = os.waitpid(pid, 0)
        took = time.perf_counter() - started
        if status != 0:
            output.seek(0)
            sys.stderr.write(output.read(4096).decode(errors="replace"))
            sys.exit(f"scripts/bench: error: exit code {os.waitstatus_to_exitcode(status)} of {' '.join(command)}")
    return took


def peak_kib(command: list[str]) -> int:
    """Peak memory of one run that is not timed; 0 where there is no /proc.

    The system's own figure for a child (ru_maxrss) starts at the parent's size, which is larger than what is measured here.
    """
    highest = 0
    with open(os.devnull, "wb") as nowhere:
        actions = [(os.POSIX_SPAWN_DUP2, nowhere.fileno(), 1), (os.POSIX_SPAWN_DUP2, nowhere.fileno(), 2)]
        pid = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            highest = max(highest, status_kib(pid, "VmHWM:"))
    return highest


def status_kib(pid: int, field: str) -> int:
    """A line of /proc/PID/status in KiB; 0 where there is none."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return max([0, *(int(line.split()[1]) for line in lines if line.startswith(field))])


def resident_kib(pid: int) -> int:
    """Resident memory of a process and all below it."""
    return sum(status_kib(process, "VmRSS:") for process in [pid, *below(pid)])


def cpu_seconds(pid: int) -> float:
    """CPU time of the live threads of a process and all below it, to the nanosecond where the kernel tells it."""
    total = 0
    for process in [pid, *below(pid)]:
        for task in Path(f"/proc/{process}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(task.read_text().split()[0])
    return total / 1e9


def below(root: int) -> list[int]:
    """The processes that a process started, and those that they started."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])

    def is_below(process: int | None) -> bool:
        while process is not None and process != root:
            process = parents.get(process)
        return process == root

    return [process for process in parents if process != root and is_below(process)]


@contextlib.contextmanager
def background(command: list[str], **popen: object) -> Iterator[subprocess.Popen]:
    """A process for as long as the block runs; asked to end after it, then made to."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, **{"stdin": subprocess.DEVNULL, "stdout": said, "stderr": said, **popen})
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def talking(command: list[str]) -> Iterator[tuple[subprocess.Popen, dict]]:
    """A process that says one JSON line when it is ready, and ends when its standard input does."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        line = process.stdout.readline()
        if not line:
            sys.exit(f"scripts/bench: error: {' '.join(command)} ended before it was ready")
        yield process, json.loads(line)
        process.stdin.close()
        process.wait(60)


def told(command: list[str]) -> dict:
    """The JSON line that a command prints."""
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.exit(f"scripts/bench: error: exit code {done.returncode} of {' '.join(command)}")
    return json.loads(done.stdout)


def free_port() -> int:
    """A port of loopback that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def accepts(process: subprocess.Popen, port: int) -> bool:
    """Waits until somebody listens there; False when the process ends first, or nobody ever does."""
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        if process.poll() is not None:
            return False
        time.sleep(0.05)
    return False


def raise_descriptor_limit() -> None:
    """Thousands of connections need more descriptors than the usual 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class PeakMemory(threading.Thread):
    """Samples the resident memory of a process and all below it, from /proc; measures nothing where there is none."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.root = root
        self.peak_kib = 0
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.2):
            self.peak_kib = max(self.peak_kib, resident_kib(self.root))

    def stop(self) -> None:
        self.ended.set()
        self.join()
