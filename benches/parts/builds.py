"""Builds what is measured: firedrill as released, and the bench tool beside it."""

import os
import subprocess
from pathlib import Path

from . import ROOT


def firedrill(given: Path | None) -> Path:
    """The release binary, built unless one is given."""
    if given:
        return given.resolve()
    return build(["--bin", "firedrill"]) / "firedrill"


def both(given: Path | None, aws: bool = False) -> tuple[Path, Path]:
    """The release binary and the bench tool, which a build of its own makes beside a given binary."""
    if given:
        # Building the AWS SDKs takes ten minutes: only for what calls AWS.
        features = ["--features", "bench", *([] if aws else ["--no-default-features"])]
        return given.resolve(), build(["--bin", "firedrill-bench", *features]) / "firedrill-bench"
    place = build(["--bins", "--features", "bench"])
    return place / "firedrill", place / "firedrill-bench"


def build(what: list[str]) -> Path:
    subprocess.run(["cargo", "build", "--release", "--locked", *what], cwd=ROOT, check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve() / "release"
