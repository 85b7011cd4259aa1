"""What takes every request: recognises the call, logs it, does what scripts say, asks for permission, and lets moto carry it out, one at a time."""

import functools
import io
import json
import select
import socket
import struct
import threading
import time

from moto.core import responses
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from . import cbor, rights
from .answers import SERVER_ERRORS, THROTTLING, error_code, failure
from .calls import Log
from .control import Control
from .corrections.identity import role_of
from .pages import Page
from .requests import Call, understood
from .scripts import Scripts

# A condition or a call that the evaluator of policies does not know: no status of HTTP's, so that no client takes it for an answer of AWS.
LOUD = 599


# moto looks through a service's whole class for its operations at each call, a fifth of a call's time.
responses.method_names_from_class = functools.cache(responses.method_names_from_class)


class Lost(ConnectionError):
    """The connection is cut instead of answering."""


class Front:
    """The WSGI application. `moto` is called under one lock: its models are plain dictionaries, and AWS's calls are atomic."""

    def __init__(self):
        self.applications = {}
        self.moto, self.one_at_a_time = DomainDispatcherApplication(create_backend_app), threading.RLock()
        self.log, self.scripts, self.enforcing = Log(), Scripts(), False
        self.control = Control(self)

    def __call__(self, environ: dict, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) if "CONTENT_LENGTH" in environ else b""
        if environ["PATH_INFO"].startswith("/testbed/"):
            return reply(start_response, *self.control.answer(environ, body))
        translation = cbor.Translation(environ, body) if cbor.wanted(environ) else None
        if translation:
            body = translation.body
        rewind(environ, body)
        call = understood(environ)
        who, why_not = rights.who_is(call)
        entry = self.log.begin(call, who, environ.get("HTTP_AMZ_SDK_INVOCATION_ID"))
        try:
            status, headers, out = self.called(call, who, why_not, entry, environ, body)
            if translation:
                status, headers, out = translation.answer(status, headers, out)
        except Lost:
            self.log.end(entry, False, entry["status"], entry["code"])
            cut(environ)
            raise
        self.log.end(entry, True, status, entry["code"])
        return reply(start_response, status, headers, out)

    def called(self, call: Call, who, why_not, entry: dict, environ: dict, body: bytes):
        """(status, headers, body) of the answer."""
        released = self.scripts.released
        effects = self.scripts.for_call(call, who.arn if who else "")
        entry["scripted"] = sorted(name for name, value in effects.items() if value)
        if effects.get("loseRequest"):
            raise Lost
        if effects.get("hang") in (True, "before"):
            hang(environ, released)
        page = Page(call, effects)
        answer = scripted_failure(call, effects) or self.not_allowed(call, who, why_not) or page.refusal() or self.safety_lever(call)
        if answer is None:
            environ["HTTP_X_MOTO_ACCOUNT_ID"] = who.account
            body = page.request(environ, body)
            answer = page.answer(*self.carried_out(call.service, environ, body))
            entry["carriedOut"] = True
        entry["status"] = answer[0]
        entry["code"] = error_code(call, answer[2], answer[1]) if answer[0] >= 300 else None
        if effects["delay"]:
            released.wait(effects["delay"] / 1000)
        if effects.get("hang") == "after":
            hang(environ, released)
        if effects.get("loseAnswer"):
            raise Lost
        return answer

    def not_allowed(self, call: Call, who, why_not):
        """The refusal of a caller who is not known, or may not; or of what was only a try."""
        if not call.action:
            return 404, {"Content-Type": "text/plain"}, b"the emulator knows no such AWS call"
        if why_not:
            return failure(call, *why_not)
        if self.enforcing:
            try:
                with self.one_at_a_time:
                    denied = rights.denied(call, who)
            except rights.Unknown as unknown:
                return LOUD, {"Content-Type": "text/plain"}, f"the emulator's policy evaluator: {unknown}\n".encode()
            if denied:
                return failure(call, *denied)
        if call.action == "AssumeRole" and role_of(call.params.get("RoleArn", "")) is None:
            return failure(call, 403, "AccessDenied", f"User: {who.shown or who.arn} is not authorized to perform: sts:AssumeRole on resource: {call.params['RoleArn']}")
        if call.dry_run:
            # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/CommonParameters.html
            return failure(call, 412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
        return None

    def safety_lever(self, call: Call):
        """FIS's safety lever, which moto lacks: absent until a script says how it stands."""
        if call.action != "GetSafetyLever":
            return None
        state, name = self.scripts.safety_lever, call.params.get("id", "default")
        if state is None:
            return failure(call, 404, "ResourceNotFoundException", f"Safety lever {name} does not exist")
        said = {"safetyLever": {"id": name, "arn": f"arn:aws:fis:{call.region}:{rights.who_is(call)[0].account}:safety-lever/{name}",
                                "state": {"status": state, "reason": "set by a script"}}}
        return 200, {"Content-Type": "application/json"}, json.dumps(said).encode()

    def carried_out(self, service: str, environ: dict, body: bytes):
        """moto's answer."""
        seen = {}

        def start_response(status, headers, _error=None):
            seen.update(status=int(status.split()[0]), headers=dict(headers))

        rewind(environ, body)
        with self.one_at_a_time:
            # moto would look for it in its own files each time, a quarter of a call's time.
            if service not in self.applications:
                self.applications[service] = self.moto.get_application(environ)
            parts = self.applications[service](environ, start_response)
            out = b"".join(parts)
        headers = {key: value for key, value in seen["headers"].items() if key.lower() not in ("content-length", "connection", "transfer-encoding")}
        return seen["status"], headers, out


def scripted_failure(call: Call, effects: dict):
    if not call.action:
        return None
    if effects.get("throttle"):
        status, code = THROTTLING.get(call.service, (400, "Throttling"))
        return failure(call, status, code, "Rate exceeded")
    if effects.get("serverError"):
        status = int(effects["serverError"])
        code = SERVER_ERRORS.get((call.service, status), {500: "InternalFailure", 503: "ServiceUnavailable"}.get(status, "InternalFailure"))
        return failure(call, status, code, "The request processing has failed because of an unknown error, exception or failure.")
    if effects.get("error"):
        told = effects["error"]
        return failure(call, int(told.get("status", 400)), told["code"], told.get("message", told["code"]))
    return None


def rewind(environ: dict, body: bytes) -> None:
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))


def hang(environ: dict, released: threading.Event) -> None:
    """No answer until the client goes away, or scripts are reset."""
    connection = environ["werkzeug.socket"]
    while not released.wait(0.1):
        try:
            if select.select([connection], [], [], 0)[0] and not connection.recv(1, socket.MSG_PEEK):
                break
        except OSError:
            break
    raise Lost


def cut(environ: dict) -> None:
    """The connection ends with a reset instead of an orderly close: SO_LINGER of no time, socket(7)."""
    connection = environ.get("werkzeug.socket")
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass  # The client was faster.


def reply(start_response, status: int, headers: dict, body: bytes):
    headers = {**headers, "Content-Length": str(len(body))}
    headers.setdefault("Content-Type", "text/plain")
    headers.setdefault("x-amzn-RequestId", f"{time.time_ns():032x}")
    start_response(f"{status} Answer", [(key, str(value)) for key, value in headers.items() if key.lower() != "status"])
    return [body]
