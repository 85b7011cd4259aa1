"""The emulator's own API, under /testbed/, for tests: JSON in, JSON out."""

import json
from urllib.parse import parse_qs

from . import ACCOUNT, dump, identities, world
from .corrections.fis import end_experiment
from .scripts import Refused


class Control:
    def __init__(self, front):
        self.front = front

    def answer(self, environ: dict, body: bytes):
        """(status, headers, body)."""
        try:
            asked = json.loads(body or b"{}")
            query = {key: values[-1] for key, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
            name = environ["PATH_INFO"].removeprefix("/testbed/").strip("/")
            found = getattr(self, f"{environ['REQUEST_METHOD'].lower()}_{name}", None)
            if found is None:
                ways = ", ".join(sorted(one.replace("_", " /testbed/", 1).upper().replace("/TESTBED/", "/testbed/") for one in dir(self) if one.startswith(("get_", "post_"))))
                return told(404, {"error": f"there is no {environ['REQUEST_METHOD']} {environ['PATH_INFO']}; there are {ways.lower()}"})
            return told(200, found({**query, **asked} if isinstance(asked, dict) else asked))
        except (Refused, KeyError, ValueError, TypeError) as wrong:
            return told(400, {"error": f"{type(wrong).__name__}: {wrong}"})

    def get_calls(self, asked: dict):
        return self.front.log.since(int(asked.get("since", 0)))

    def get_scripts(self, _asked: dict):
        return self.front.scripts.shown()

    def post_script(self, asked):
        """One script or a list of them; or `{"forget": id}`."""
        if isinstance(asked, list):
            return [self.post_script(one) for one in asked]
        if "forget" in asked:
            return self.front.scripts.forget(int(asked["forget"]))
        return self.front.scripts.tell(asked)

    def post_reset(self, asked: dict):
        """Scripts and the call log; with `world`, everything that is laid out, too. Identities of tests go with the world."""
        self.front.scripts.reset()
        self.front.enforcing = False
        self.front.log.clear()
        if asked.get("world"):
            with self.front.one_at_a_time:
                world.clear()
            return self.front.lay_out()
        return {}

    def get_dump(self, _asked: dict):
        with self.front.one_at_a_time:
            return dump.everything()

    def post_enforce(self, asked: dict):
        self.front.enforcing = bool(asked["on"])
        return {"on": self.front.enforcing}

    def get_enforce(self, _asked: dict):
        return {"on": self.front.enforcing}

    def post_experiment(self, asked: dict):
        """Ends an experiment as FIS would: `{id, status: completed | failed | stopped}`."""
        with self.front.one_at_a_time:
            return {"experiment": end_experiment(asked["id"], asked["status"])}

    def post_identity(self, asked: dict):
        """A user `{name, policies, account?}` with its key, or a role `{role, policies, account?}`; `{revoke: key}`, `{expire: key}`."""
        with self.front.one_at_a_time:
            if "revoke" in asked:
                return {"revoked": identities.revoke(asked["revoke"])}
            if "expire" in asked:
                return {"expired": identities.expire(asked["expire"])}
            account = asked.get("account", ACCOUNT)
            if "role" in asked:
                return identities.new_role(asked["role"], asked.get("policies", []), account)
            return identities.new_user(asked["name"], asked.get("policies", []), account)


def told(status: int, what):
    return status, {"Content-Type": "application/json"}, json.dumps(what).encode()
