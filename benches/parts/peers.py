"""The peers that firedrill is compared with, pinned, installed into the cache; or why one cannot be had."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from . import CACHE

CHAOSTOOLKIT = "1.19.0"
FAULT = "1.2.1"
TOXIPROXY = "2.12.0"


def chaostoolkit() -> tuple[str | None, str]:
    """`chaos` in a virtual environment."""
    venv = CACHE / f"chaostoolkit-{CHAOSTOOLKIT}"
    chaos = venv / "bin" / "chaos"
    if not chaos.exists():
        why = install(
            f"chaostoolkit {CHAOSTOOLKIT}",
            [sys.executable, "-m", "venv", "--clear", str(venv)],
            [str(venv / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", f"chaostoolkit=={CHAOSTOOLKIT}"],
        )
        if why:
            shutil.rmtree(venv, ignore_errors=True)
            return None, why
    return str(chaos), ""


def fault() -> tuple[str | None, str]:
    """`fault` of fault-cli, compiled from crates.io."""
    place = CACHE / "tools" / f"fault-cli-{FAULT}"
    if not (place / "bin" / "fault").exists():
        if not shutil.which("cargo"):
            return None, "cargo is not installed"
        # Not into this project's target directory, where it would stay.
        with tempfile.TemporaryDirectory(prefix="fault-cli-") as target:
            why = install(
                f"fault-cli {FAULT}, which takes some minutes",
                ["cargo", "install", "--quiet", "--locked", "--root", str(place), f"fault-cli@{FAULT}"],
                CARGO_TARGET_DIR=target,
            )
        if why:
            return None, why
    return str(place / "bin" / "fault"), ""


def toxiproxy() -> tuple[str | None, str]:
    """`toxiproxy-server`, compiled from its Go module."""
    place = CACHE / "tools" / f"toxiproxy-{TOXIPROXY}" / "bin"
    if not (place / "server").exists():
        if not shutil.which("go"):
            return None, "Go is not installed; see https://go.dev/doc/install"
        module = f"github.com/Shopify/toxiproxy/v2/cmd/server@v{TOXIPROXY}"
        why = install(f"toxiproxy {TOXIPROXY}", ["go", "install", module], GOBIN=str(place), GOFLAGS="-trimpath")
        if why:
            return None, why
    return str(place / "server"), ""


def squid() -> tuple[str | None, str]:
    """Debian's squid; its daemon is not left running."""
    path = shutil.which("squid") or shutil.which("squid", path="/usr/sbin")
    if path:
        return path, ""
    command = "apt-get install -y --no-install-recommends squid"
    if not shutil.which("apt-get") or os.geteuid() != 0:
        return None, f"squid is not installed; as root: {command}"
    # Debian starts what it installs, unless this file says no.
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        why = install("squid", ["apt-get", "-qq", "update"], [*command.split(), "-qq"], DEBIAN_FRONTEND="noninteractive")
    finally:
        if ours:
            policy.unlink()
    return (None, why) if why else (shutil.which("squid") or shutil.which("squid", path="/usr/sbin"), "")


def install(what: str, *commands: list[str], **environment: str) -> str:
    """Runs the commands; the reason when one fails."""
    print(f"installing {what} into the cache", flush=True)
    for command in commands:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env={**os.environ, **environment})
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            return f"{' '.join(command[-3:])} failed: {said[-1] if said else 'no message'}"
    return ""
