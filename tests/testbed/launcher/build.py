"""Builds the components once, pinned by go.mod and go.sum, into the cache."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from . import Failed

SOURCE = Path(__file__).resolve().parent.parent
TOOLS = {
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "etcd": "go.etcd.io/etcd/server/v3",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    "coredns": "./coredns",
    "keys": "./keys",
}
# What KUBEBUILDER_ASSETS holds, by its convention.
ASSETS = ("etcd", "kube-apiserver", "kubectl")
# Components of other sources, half a gigabyte each, go when nobody has used them for this many seconds.
UNUSED = 14 * 86400
# Simulated kubelets: a node is Ready and a pod Running as soon as they are seen.
STAGES = ("node/fast/node-initialize.yaml", "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml", "pod/fast/pod-ready.yaml",
          "pod/fast/pod-complete.yaml", "pod/fast/pod-delete.yaml")


def cache() -> Path:
    # What is not absolute is ignored, as the XDG specification wants it.
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".cache") / "firedrill"


def place() -> Path:
    """Where the components of these very sources are, or will be."""
    digest = hashlib.sha256(repr((TOOLS, STAGES)).encode())
    for file in ["go.mod", "go.sum", *sorted(str(file.relative_to(SOURCE)) for file in SOURCE.glob("*/*.go"))]:
        digest.update(f"{file}\n".encode() + (SOURCE / file).read_bytes())
    return cache() / f"testbed-{digest.hexdigest()[:12]}"


def built() -> Path:
    """The directory of the components, or how to get them."""
    if not (place() / "bin").is_dir():
        raise Failed("the testbed is not built; build it once with", "scripts/testbed build")
    os.utime(place())
    return place()


def program(directory: Path, name: str) -> Path:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if not assets or name not in ASSETS:
        return directory / "bin" / name
    if not (Path(assets) / name).is_file():
        raise Failed(f"KUBEBUILDER_ASSETS is {assets}, and there is no {name} there; unset it to use the testbed's own")
    return Path(assets) / name


def build() -> Path:
    """Builds what is missing; returns at once when nothing is."""
    to = place()
    if (to / "bin").is_dir():
        return built()
    go()
    to.parent.mkdir(parents=True, exist_ok=True)
    with locked(to.parent / "testbed.lock"):
        if not (to / "bin").is_dir():
            compile_into(to)
            for old in to.parent.glob("testbed-" + "[0-9a-f]" * 12):
                if time.time() - old.stat().st_mtime > UNUSED:
                    shutil.rmtree(old, ignore_errors=True)
    return built()


def compile_into(to: Path) -> None:
    free = shutil.disk_usage(to.parent).free
    if free < 4 << 30:
        raise Failed(f"{free >> 30} GB are free at {to.parent}; the build needs 4: 2 for Go's build cache, 1 for sources, 1 for the components")
    say("building the testbed: etcd, Kubernetes, KWOK and CoreDNS from their sources; some ten minutes and 3 GB, once")
    version = subprocess.run(["go", "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes"], cwd=SOURCE, capture_output=True, text=True)
    if version.returncode:
        raise Failed("go cannot read the testbed's modules", *version.stderr.splitlines()[-5:])
    stamp = version.stdout.strip()
    major, minor = stamp.removeprefix("v").split(".")[:2]
    package = "k8s.io/component-base/version"
    # Without it the components call themselves v0.0.0-master, and kubectl refuses to print a version.
    flags = f"-s -w -X {package}.gitVersion={stamp} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    new = to.with_name(f"{to.name}.new-{os.getpid()}")
    try:
        (new / "bin").mkdir(parents=True)
        started = time.monotonic()
        for number, (name, path) in enumerate(TOOLS.items(), 1):
            say(f"[{number}/{len(TOOLS)}] {name}, after {time.monotonic() - started:.0f} s")
            command = ["go", "build", "-trimpath", "-mod=readonly", "-buildvcs=false", f"-ldflags={flags}", "-o", str(new / "bin" / name), path]
            done = subprocess.run(command, cwd=SOURCE, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            if done.returncode:
                raise Failed(f"{name} does not build", *done.stderr.splitlines()[-20:])
        stages(new / "stages.yaml")
        new.rename(to)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    say(f"built in {time.monotonic() - started:.0f} s: {to}")


def stages(file: Path) -> None:
    found = subprocess.run(["go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok"], cwd=SOURCE, capture_output=True, text=True)
    if found.returncode:
        raise Failed("go cannot find KWOK's stages", *found.stderr.splitlines()[-5:])
    folder = Path(found.stdout.strip()) / "kustomize" / "stage"
    file.write_text("\n---\n".join((folder / stage).read_text() for stage in STAGES))


def go() -> None:
    """Go is there, and new enough; GOTOOLCHAIN may not fetch another one."""
    os.environ.update(GOTOOLCHAIN="local", GOWORK="off")
    wanted = re.search(r"^go (\S+)$", (SOURCE / "go.mod").read_text(), re.MULTILINE).group(1)
    hint = (f"install Go {wanted} or newer: https://go.dev/dl (Debian, where its version is new enough: apt-get install golang-go)",)
    if not shutil.which("go"):
        raise Failed("Go is not installed, and the testbed is built from sources", *hint)
    said = subprocess.run(["go", "env", "GOVERSION"], cwd="/", capture_output=True, text=True).stdout.strip()
    numbers = lambda text: [int(part) for part in re.findall(r"\d+", text)[:3]]  # noqa: E731
    if numbers(said) < numbers(wanted):
        raise Failed(f"Go {said.removeprefix('go')} is too old for the testbed", *hint)


@contextlib.contextmanager
def locked(file: Path):
    """One builder at a time; the second one finds everything built. The lock ends with the process that holds it."""
    with open(file, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process builds the testbed; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def say(line: str) -> None:
    print(f"==> {line}", file=sys.stderr, flush=True)
