"""Starts and ends the testbed: two real Kubernetes control planes on loopback. `scripts/testbed` is its command line."""


class Failed(Exception):
    """What stops the testbed, told to its user: a line, and lines below it."""

    def __init__(self, line: str, *below: str):
        super().__init__(line)
        self.below = below
