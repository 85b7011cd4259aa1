"""The call log: every AWS call, in the order in which they came."""

import threading
from datetime import datetime, timezone

from .requests import Call, plain


class Log:
    def __init__(self):
        self.entries, self.lock, self.number = [], threading.Lock(), 0

    def begin(self, call: Call, who, invocation: str | None = None) -> dict:
        """Notes a call that has come; `invocation` is the same for all attempts of one call of an SDK. What became of it is written into the entry, by `end`; `status` is null until then."""
        entry = {
            "n": 0,
            "at": now(),
            "service": call.service or None,
            "action": call.action or None,
            "region": call.region,
            "account": who.account if who else None,
            "principal": who.arn if who else None,
            "accessKey": call.access_key or None,
            "mutating": call.mutating,
            "dryRun": call.dry_run,
            "params": plain(call.params),
            "status": None,
            "code": None,
            "carriedOut": False,
            "answered": None,
            "invocation": invocation,
            "scripted": [],
        }
        with self.lock:
            self.number += 1
            entry["n"] = self.number
            self.entries.append(entry)
        return entry

    def end(self, entry: dict, answered: bool, status=None, code=None) -> None:
        with self.lock:
            entry.update(answered=answered, status=status, code=code or None, ended=now())

    def since(self, number: int) -> list:
        with self.lock:
            # Numbers grow by one, and the first entries may have been cleared.
            first = self.entries[0]["n"] if self.entries else 0
            return [dict(one) for one in self.entries[max(number + 1 - first, 0):]]

    def clear(self) -> None:
        """Forgets the entries; numbers go on."""
        with self.lock:
            self.entries = []


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
