"""A small client of an API server, for laying out the testbed's objects and waiting for them."""

import http.client
import json
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import Failed

# What is created at once. The API server answers from two cores.
AT_ONCE = 8


class Api:
    def __init__(self, port: int, certificate: Path, token: str):
        self.port, self.certificate, self.token = port, certificate, token
        self.local = threading.local()

    def call(self, method: str, path: str, body=None):
        """Status and answer. Raises OSError while there is no server."""
        if not hasattr(self.local, "connection"):
            context = ssl.create_default_context(cafile=str(self.certificate))
            self.local.connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=context)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            self.local.connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
            answer = self.local.connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.local.connection.close()
            del self.local.connection
            raise OSError(str(error)) from error

    def ready(self) -> bool:
        try:
            return self.call("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def get(self, path: str):
        status, answer = self.call("GET", path)
        if status != 200:
            raise Failed(f"GET {path}: {status}", answer.decode(errors="replace")[:400])
        return json.loads(answer)

    def create(self, path: str, object: dict) -> dict:
        status, answer = self.call("POST", path, object)
        if status != 201:
            raise Failed(f"{object['kind']} {object['metadata']['name']} was not created: {status}", answer.decode(errors="replace")[:400])
        return json.loads(answer)

    def create_all(self, objects: list) -> None:
        """Of pairs of path and object."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda pair: self.create(*pair), objects))
