"""Builds helm once, pinned by a go.mod and a go.sum of its own, into the cache: raising it does not build the clusters anew."""

import hashlib
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from . import Failed
from .build import SOURCE as TESTBED
from .build import UNUSED, cache, go, locked, say

SOURCE = TESTBED / "helm"
MODULE = "helm.sh/helm/v4"


def place() -> Path:
    """Where the helm of these very sources is, or will be."""
    digest = hashlib.sha256((SOURCE / "go.mod").read_bytes() + (SOURCE / "go.sum").read_bytes())
    return cache() / f"helm-{digest.hexdigest()[:12]}"


def built() -> Path:
    """The program, or how to get it."""
    program = place() / "helm"
    if not program.is_file():
        raise Failed("helm is not built; build it once with", "scripts/testbed build")
    os.utime(place())
    return program


def build() -> Path:
    """Builds it when it is missing; returns at once when it is not."""
    to = place()
    if (to / "helm").is_file():
        return built()
    go()
    to.parent.mkdir(parents=True, exist_ok=True)
    with locked(to.parent / "helm.lock"):
        if not (to / "helm").is_file():
            compile_into(to)
            for old in to.parent.glob("helm-" + "[0-9a-f]" * 12):
                if time.time() - old.stat().st_mtime > UNUSED:
                    shutil.rmtree(old, ignore_errors=True)
    return built()


def compile_into(to: Path) -> None:
    wanted = re.search(rf"^\s*{re.escape(MODULE)} (\S+)", (SOURCE / "go.mod").read_text(), re.MULTILINE).group(1)
    say(f"building helm {wanted} from its sources, once")
    started = time.monotonic()
    new = to.with_name(f"{to.name}.new-{os.getpid()}")
    try:
        new.mkdir()
        # Without it helm calls itself v4.3, whichever it is.
        flags = f"-s -w -X {MODULE}/internal/version.version={wanted}"
        command = ["go", "build", "-trimpath", "-mod=readonly", "-buildvcs=false", f"-ldflags={flags}", "-o", str(new / "helm"), f"{MODULE}/cmd/helm"]
        done = subprocess.run(command, cwd=SOURCE, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise Failed("helm does not build", *done.stderr.splitlines()[-20:])
        new.rename(to)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    say(f"built in {time.monotonic() - started:.0f} s: {to}")
