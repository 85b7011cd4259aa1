"""One fault on everything there is, by a real run: the drill, and when its parts began and ended."""

import datetime
import json
import os
import subprocess
from pathlib import Path


def drill(folder: Path, summary: str, port: int, step: dict, environment: str, hold: str = "1s") -> list[str]:
    """The arguments that run it; watched is a port of the platform, `step` is `{id, fault}`."""
    folder.mkdir()
    document = {
        "apiVersion": "firedrill.dev/v1alpha1", "kind": "Drill", "metadata": {"name": step["id"]},
        "spec": {
            "summary": summary, "owner": "bench", "hypothesis": "It is fast.", "failedRegion": "us-east-1", "survivingRegions": ["us-west-2"],
            "baseline": "100ms", "hold": hold, "undoBy": "1h",
            "objectives": [{"id": "api", "probe": {"tcp": {"host": "127.0.0.1", "port": port}}, "interval": "1s", "stableFor": "1s", "availability": "1%"}],
            "steps": [{"limit": "10m", **step}],
        },
    }
    (folder / "drill.yaml").write_text(json.dumps(document))
    return ["--state-dir", str(folder / "state"), "run", str(folder / "drill.yaml"), "--env", environment, "--report-dir", str(folder / "out")]


def instants(command: list[str], folder: Path, targets: int, environment: dict[str, str] | None = None) -> dict[str, list[float]]:
    """Runs it; seconds since 1970 of every event by its type, of targets by their phase. All of so many targets must be undone."""
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ if environment is None else environment)
    if done.returncode:
        raise SystemExit(f"scripts/bench: error: exit {done.returncode}\n{done.stdout}{done.stderr}")
    at: dict[str, list[float]] = {}
    for line in (folder / "out" / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        name = event["phase"] if event["type"] == "targetPhase" else event["type"]
        at.setdefault(name, []).append(when(event["at"]))
    if len(at["reverted"]) != targets:
        raise SystemExit(f"scripts/bench: error: {len(at['reverted'])} targets were undone, not {targets}")
    return at


def when(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()
