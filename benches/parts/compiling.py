"""A release build from an empty target directory: wall time, CPU time, memory, size."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from . import CACHE, ROOT
from .processes import PeakMemory


def measure() -> int:
    subprocess.run(["cargo", "fetch", "--locked", "--quiet"], cwd=ROOT, check=True)  # downloads are not compile time
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="compile-", dir=CACHE) as target:
        started = time.monotonic()
        build = subprocess.Popen(["cargo", "build", "--release", "--locked", "--quiet"], cwd=ROOT, env={**os.environ, "CARGO_TARGET_DIR": target})
        sampler = PeakMemory(build.pid)
        sampler.start()
        _, status, usage = os.wait4(build.pid, 0)
        took = time.monotonic() - started
        build.returncode = os.waitstatus_to_exitcode(status)
        sampler.stop()
        if build.returncode != 0:
            return build.returncode
        size = sum(file.stat().st_size for file in Path(target).rglob("*") if file.is_file())
        binary = (Path(target) / "release" / "firedrill").stat().st_size
    print("\ncargo build --release from an empty target directory, downloads not counted\n")
    print(f"wall            {took / 60:6.1f} min")
    print(f"CPU             {(usage.ru_utime + usage.ru_stime) / 60:6.1f} min")
    print(f"largest process {usage.ru_maxrss / 1024**2:6.1f} GiB")
    if sampler.peak_kib:
        print(f"whole build     {sampler.peak_kib / 1024**2:6.1f} GiB at its peak (sum of resident memory, sampled)")
    print(f"target          {size / 1024**3:6.1f} GiB")
    print(f"binary          {binary / 1024**2:6.1f} MiB")
    return 0
