"""Starts and ends the AWS emulator (`../emulator`) in the virtual environment of `../requirements.txt`, which is made once, in the cache."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from . import Failed
from .build import SOURCE, cache, locked, say
from .process import Component, start_of

REQUIREMENTS = SOURCE / "requirements.txt"
STATE = "aws.json"


def python(make: bool = False) -> Path:
    """The emulator's Python, or how to get it. scripts/test makes it under the same name."""
    place = cache() / f"aws-emulator-{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]}"
    program = place / "bin" / "python"
    if not program.exists():
        if not make:
            raise Failed("the AWS emulator is not installed; install it once with", "scripts/testbed build")
        cache().mkdir(parents=True, exist_ok=True)
        with locked(cache() / "aws-emulator.lock"):
            if not program.exists():
                install(place)
    return program


def install(place: Path) -> None:
    say("installing the AWS emulator (moto) into the cache; 140 MB, once")
    new = place.with_name(f"{place.name}.new-{os.getpid()}")
    try:
        steps = [[sys.executable, "-m", "venv", str(new)],
                 [str(new / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps", "--only-binary", ":all:", "-r",
                  str(REQUIREMENTS)]]
        for step in steps:
            done = subprocess.run(step, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode:
                raise Failed("the AWS emulator could not be installed; it needs Python with venv (Debian: apt-get install python3-venv), and says",
                             *done.stdout.splitlines()[-8:])
        new.rename(place)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def command(directory: Path, words: list) -> list:
    return [str(python(make=True)), "-B", "-m", "emulator", "--directory", str(directory), *words]


class Emulator(Component):
    """The emulator as one more component of a testbed with clusters: it ends with the launcher."""

    # The component's environment is the launcher's to give: no PYTHONPATH.
    CODE = "import sys; sys.path.insert(0, sys.argv.pop(1)); from emulator.__main__ import main; sys.exit(main())"

    def __init__(self, directory: Path):
        self.directory, log = directory / "aws", directory / "aws.log"
        super().__init__("moto", "AWS", [python(make=True), "-B", "-c", self.CODE, SOURCE, "--directory", self.directory, "--stay"], log)
        self.said = None

    def ready(self) -> bool:
        """Whether it has said its line."""
        first, end, _ = self.log.read_text(errors="replace").partition("\n") if self.log.exists() else ("", "", "")
        self.said = json.loads(first) if end and first.startswith("{") else None
        return self.said is not None

    def spec(self) -> dict:
        """Its part of an environment."""
        return json.loads(Path(self.said["environment"]).read_text())["spec"]


def environment() -> dict:
    """Nobody's profile, proxy or credentials."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "PYTHONPATH": str(SOURCE)}


def run(directory: Path, words: list) -> None:
    """For programs: this process becomes the emulator, which prints a line of JSON, and ends when standard input closes."""
    line = command(directory, words)
    os.execve(line[0], line, environment())


def up(directory: Path, words: list) -> dict:
    """Starts it in the background; returns what it says of itself."""
    if running(directory):
        raise Failed(f"an AWS emulator runs in {directory} already", "say how to use it: scripts/testbed aws status", "end it: scripts/testbed aws down")
    shutil.rmtree(directory, ignore_errors=True)
    with open(os.devnull) as nothing:
        process = subprocess.Popen(command(directory, [*words, "--stay"]), stdin=nothing, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True,
                                   start_new_session=True)
    line = process.stdout.readline()
    try:
        said = json.loads(line)
    except ValueError:
        raise Failed("the AWS emulator did not start; it says", *process.communicate()[1].splitlines()[-8:]) from None
    (directory / STATE).touch(mode=0o600)
    (directory / STATE).write_text(json.dumps({**said, "started": start_of(process.pid)}))
    return said


def running(directory: Path):
    """What the one of that directory said of itself; None where it has ended."""
    try:
        said = json.loads((directory / STATE).read_text())
    except (OSError, ValueError):
        return None
    return said if start_of(said["pid"]) == said["started"] else None


def down(directory: Path) -> None:
    """Ends it; it removes its own files."""
    said = running(directory)
    if said:
        os.kill(said["pid"], signal.SIGTERM)
        deadline = time.monotonic() + 10
        while start_of(said["pid"]) == said["started"] and time.monotonic() < deadline:
            time.sleep(0.02)
        if start_of(said["pid"]) == said["started"]:
            os.kill(said["pid"], signal.SIGKILL)
    if (directory / STATE).exists():
        shutil.rmtree(directory, ignore_errors=True)


def usage(said: dict, env: str = "", end: str = "scripts/testbed aws down") -> str:
    """How a person uses it."""
    return f"""\
AWS emulator: {said['endpoint']}, account {said['account']}, regions {', '.join(said['regions'])}
environment:  {env or said['environment']}

credentials of its administrator, for firedrill, boto3 and the aws command:
  export AWS_ACCESS_KEY_ID={said['accessKeyId']} AWS_SECRET_ACCESS_KEY={said['secretAccessKey']} AWS_REGION={said['regions'][0]}
  export AWS_ENDPOINT_URL={said['endpoint']}     # the aws command and boto3; firedrill takes it from the environment file
  firedrill run DRILL.yaml --env {env or said['environment']}

every call that came: curl {said['control']}/calls
everything there is:  curl {said['control']}/dump
what can go wrong:    docs/testbed.md
end it:               {end}"""
