"""Processes that never outlive the testbed, their ports, and who they are when a pid is read from a file."""

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from . import Failed

# Lines of a failed component's log that are shown.
TAIL = 15
# Set when the testbed is told to end: nobody waits for anything any more.
STOPPING = threading.Event()


class Component:
    """One program of the testbed: started, killed and started again with the same arguments."""

    def __init__(self, name: str, of: str, command: list, log: Path):
        self.name, self.of, self.command, self.log = name, of, [str(word) for word in command], log
        self.process = None

    def start(self) -> None:
        # Nobody's proxy, kubeconfig or cloud credentials. HOME is the testbed's: nothing is written elsewhere.
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(self.log.parent), "TMPDIR": str(self.log.parent)}
        with open(self.log, "ab") as log:
            # A session of its own: Ctrl-C reaches the launcher, which then ends everything in one go.
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.log.parent, env=environment,
                                            start_new_session=True, preexec_fn=die_with_parent)

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ended_by_itself(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def kill(self) -> None:
        """Ends it as a power cut would. Returns when it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def failed(self, what: str) -> Failed:
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL:] if self.log.exists() else []
        return Failed(f"{self.name} of {self.of} {what}; its log ends with", *[line[:400] for line in lines])


def _prctl():
    """Found before any fork: a child may do little between fork and exec."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return None


PRCTL = _prctl()


def die_with_parent() -> None:
    """The kernel ends this process when the launcher dies, however it dies. Elsewhere than on Linux only an orderly end takes it along."""
    if PRCTL is not None:
        PRCTL(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG, prctl(2)


def start_of(pid: int):
    """When a process began, in words of the system that only serve to compare; None where there is none. A pid alone may have been given anew."""
    try:
        # Behind the name in parentheses, which may hold anything: field 22, proc(5). A zombie has ended.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    said = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return said or None


class Ports:
    """Free ports of loopback, each for UDP and TCP, below those that the system gives to outgoing connections: a component that is
    started again finds its own still free."""

    def __init__(self):
        self.given = set()
        try:
            low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        except OSError:
            low = 32768
        self.range = (15000, low) if low > 20000 else (20000, 60000)

    def take(self) -> int:
        for _ in range(500):
            port = random.randrange(*self.range)
            if port not in self.given and all(free(port, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)):
                self.given.add(port)
                return port
        raise Failed("there is no free port on loopback")


def free(port: int, kind) -> bool:
    with socket.socket(socket.AF_INET, kind) as one:
        try:
            one.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def wait_for(what: str, seconds: float, ready, components) -> None:
    """Asks until `ready()` is true; a component that ends meanwhile, or does not become ready, fails with its log."""
    deadline = time.monotonic() + seconds
    while not ready():
        if STOPPING.is_set():
            raise Failed("stopped while starting")
        for component in components:
            if component.ended_by_itself():
                raise component.failed(f"ended with status {component.process.returncode}")
        if time.monotonic() > deadline:
            raise components[0].failed(f"runs, but {what} did not come about in {seconds:.0f} s")
        time.sleep(0.05)
