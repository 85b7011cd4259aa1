"""moto as it is, to see what the corrections are for."""

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from . import server


def serve():
    return server.serve(DomainDispatcherApplication(create_backend_app))
