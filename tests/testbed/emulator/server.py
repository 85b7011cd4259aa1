"""The HTTP server: threads on loopback, an ephemeral port, connections that stay open as AWS's do, and can be cut."""

import socket
import sys
import traceback

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import ThreadedWSGIServer


class Handler(MotoRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body leave together; two writes would meet Nagle's algorithm and delayed acknowledgements, which cost 40 ms each time.
    wbufsize = -1
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        """One request of a connection. werkzeug closes after each, for it does not know whether the application has read the body: ours reads all of it, and says how long its answer is."""
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
            self.wfile.flush()
        if "Transfer-Encoding" in self.headers:
            self.close_connection = True  # Of such a body nothing is read.
        said = {}
        environ = self.make_environ()
        try:
            parts = self.server.app(environ, lambda status, headers, _error=None: said.update(status=status, headers=headers))
            code, reason = said["status"].split(None, 1)
            self.send_response(int(code), reason)
            for name, value in said["headers"]:
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.writelines(parts)
            self.wfile.flush()
        except ConnectionError as error:
            self.connection_dropped(error, environ)
        except Exception:
            traceback.print_exc()
            self.send_error(500)
            self.close_connection = True

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
