"""The HTTP server: threads on loopback, an ephemeral port, connections that can be cut."""

import socket
import sys

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import ThreadedWSGIServer


class Handler(MotoRequestHandler):
    # Headers and body are two writes: together with delayed acknowledgements, Nagle's algorithm would cost 40 ms each time.
    disable_nagle_algorithm = True
    protocol_version = "HTTP/1.1"

    def log_request(self, *_):
        """The call log has it."""

    def connection_dropped(self, error, environ=None):
        """On purpose, or a client that did not wait: nothing more comes from this connection."""
        self.close_connection = True


class Server(ThreadedWSGIServer):
    daemon_threads = True
    # A hundred clients may come at once.
    request_queue_size = 512

    def shutdown_request(self, request):
        """Without the orderly half-close, which would forestall the reset of a connection that is cut."""
        lingers = request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) if request.fileno() >= 0 else bytes(8)
        if lingers[0]:
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def serve(application) -> Server:
    """Bound and listening; `serve_forever` is the caller's."""
    return Server("127.0.0.1", 0, application, handler=Handler)
