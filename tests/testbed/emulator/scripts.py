"""What is to go wrong: rules that tests set over HTTP, each with the calls that it meets and what it does to them."""

import fnmatch
import itertools
import threading

from .corrections import ec2, fis, route53
from .requests import Call

MATCH = {"service", "action", "region", "principal", "params", "after", "times"}
# What a rule does to the calls that it meets; values as docs/testbed.md describes them.
EFFECTS = {"delay", "throttle", "serverError", "error", "loseAnswer", "loseRequest", "hang", "pageSize", "emptyPage"}
# Those that decide how a call ends: it can only end in one way.
OUTCOMES = {"throttle", "serverError", "error", "loseAnswer", "loseRequest", "hang"}
# What is set for all calls, until the next reset.
SETTINGS = {"everyAnswer", "transitions", "safetyLever", "healthStatus"}


class Refused(Exception):
    """The script says something that does not exist."""


class Rule:
    numbers = itertools.count(1)

    def __init__(self, told: dict):
        self.id, self.told, self.met, self.acted = next(self.numbers), told, 0, 0
        self.effects = {name: told[name] for name in EFFECTS if name in told}
        if not self.effects:
            raise Refused(f"a rule does something: one of {', '.join(sorted(EFFECTS))}")

    def meets(self, call: Call, principal: str) -> bool:
        wanted = self.told
        return (
            wanted.get("service", call.service) == call.service
            and fnmatch.fnmatchcase(call.action, wanted.get("action", "*"))
            and wanted.get("region", call.region) == call.region
            and fnmatch.fnmatchcase(principal, wanted.get("principal", "*"))
            and all(fnmatch.fnmatchcase(text(at(call.params, name)), text(value)) for name, value in wanted.get("params", {}).items())
        )

    def acts(self, others: dict) -> bool:
        """Counts a call that it meets: whether this one is behind `after`, and among the `times`. Where an earlier rule ends the call already, this one
        waits for the next."""
        self.met += 1
        taken = OUTCOMES & set(self.effects) and OUTCOMES & set(others)
        if taken or self.met <= self.told.get("after", 0) or self.acted >= self.told.get("times", 1 << 62):
            return False
        self.acted += 1
        return True

    def shown(self) -> dict:
        return {"id": self.id, **self.told, "met": self.met, "acted": self.acted}


class Scripts:
    def __init__(self):
        self.lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        with self.lock:
            self.rules, self.everywhere, self.safety_lever = [], 0, None
            route53.HEALTH.clear()
            # What hangs goes on.
            getattr(self, "released", threading.Event()).set()
            self.released = threading.Event()
            ec2.TRANSITION.update(reads=1, ms=0)
            route53.TRANSITION["reads"] = fis.TRANSITION["reads"] = 1

    def tell(self, told: dict) -> dict:
        """Takes one script: a rule, or a setting."""
        unknown = set(told) - MATCH - EFFECTS - SETTINGS
        if unknown:
            raise Refused(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(sorted(MATCH | EFFECTS | SETTINGS))}")
        with self.lock:
            settings = set(told) & SETTINGS
            if not settings:
                rule = Rule(told)
                self.rules.append(rule)
                return rule.shown()
            if set(told) - SETTINGS:
                raise Refused("a setting is not a rule: send them apart")
            if "everyAnswer" in told:
                self.everywhere = told["everyAnswer"]["delay"]
            if "safetyLever" in told:
                if told["safetyLever"] not in (None, "engaged", "disengaged", "engaging"):
                    raise Refused("safetyLever is null (the API is absent), engaged, disengaged or engaging")
                self.safety_lever = told["safetyLever"]
            route53.HEALTH.update(told.get("healthStatus", {}))
            self.transitions(told.get("transitions", {}))
            return {"set": sorted(settings)}

    def transitions(self, told: dict) -> None:
        for name, held in (("instances", ec2.TRANSITION), ("changes", route53.TRANSITION), ("experiments", fis.TRANSITION)):
            held.update({key: value for key, value in told.get(name, {}).items() if key in held})
        if set(told) - {"instances", "changes", "experiments"}:
            raise Refused("transitions: instances {reads, ms}, changes {reads}, experiments {reads}")

    def forget(self, number: int) -> None:
        with self.lock:
            self.rules = [one for one in self.rules if one.id != number]

    def for_call(self, call: Call, principal: str) -> dict:
        """The effects on this call; of two rules with the same effect the earlier one's."""
        found = {}
        with self.lock:
            for rule in self.rules:
                if rule.meets(call, principal) and rule.acts(found):
                    found = {**rule.effects, **found}
            found["delay"] = found.get("delay", 0) + self.everywhere
        return found

    def shown(self) -> dict:
        with self.lock:
            transitions = {"instances": dict(ec2.TRANSITION), "changes": dict(route53.TRANSITION), "experiments": dict(fis.TRANSITION)}
            return {"rules": [one.shown() for one in self.rules], "everyAnswer": {"delay": self.everywhere}, "transitions": transitions,
                    "safetyLever": self.safety_lever, "healthStatus": dict(route53.HEALTH)}


def at(params: dict, path: str):
    """`ChangeBatch.Changes.0.Action` in nested parameters; None where there is nothing."""
    value = params
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else value[int(step)] if isinstance(value, list) and step.isdigit() and int(step) < len(value) else None
    return value


def text(value) -> str:
    return {True: "true", False: "false", None: ""}.get(value) if value is None or isinstance(value, bool) else str(value)
