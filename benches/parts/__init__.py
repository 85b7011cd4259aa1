"""What `scripts/bench` measures, one part a file, and what the parts share: where things are, and how limits are told."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "firedrill"


class Limits:
    """Limits that were looked at; those that were exceeded are named at the end."""

    def __init__(self) -> None:
        self.over: list[str] = []

    def hold(self, what: str, good: bool, said: str) -> None:
        """Prints one limit and remembers it when it does not hold."""
        print(f"  {'ok  ' if good else 'OVER'}  {what}: {said}")
        if not good:
            self.over.append(f"{what}: {said}")

    def tell(self) -> int:
        """Exit code: 1 when a limit was exceeded."""
        for one in self.over:
            print(f"OVER THE LIMIT: {one}", file=sys.stderr)
        return 1 if self.over else 0
