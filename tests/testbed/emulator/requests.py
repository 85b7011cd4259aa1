"""What an HTTP request asks for: service, operation and parameters, in the words of botocore's service models."""

import re
from dataclasses import dataclass, field

from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import determine_request_protocol
from moto.core.routing import NotFound, get_service_router
from moto.core.utils import get_service_model
from moto.moto_server.werkzeug_app import BackendRequest

from . import REGIONS

# Signing names that are not the name of the service model.
MODELS = {"monitoring": "cloudwatch"}
CREDENTIAL = re.compile(r"Credential=([^/, ]+)/\d+/([^/, ]+)/([^/, ]+)/aws4_request")
READING = ("Test", "Describe", "List", "Get", "AssumeRole")


@dataclass
class Call:
    """One call, before it is carried out."""

    service: str = ""
    action: str = ""
    region: str = REGIONS[0]
    access_key: str = ""
    token: str = ""
    params: dict = field(default_factory=dict)
    model: object = None
    operation: object = None
    protocol: str = ""

    @property
    def dry_run(self) -> bool:
        return self.service == "ec2" and self.params.get("DryRun") is True

    @property
    def mutating(self) -> bool:
        """Whether it would change something in the account."""
        return bool(self.action) and not self.action.startswith(READING) and not self.dry_run


def understood(environ: dict) -> Call:
    """What is asked; without an action when no service model knows the request. `environ["wsgi.input"]` is read, and must be rewound afterwards."""
    call = Call()
    credential = CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    if not credential:
        return call
    call.access_key, call.region, name = credential.groups()
    call.token = environ.get("HTTP_X_AMZ_SECURITY_TOKEN", "")
    call.service = MODELS.get(name, name)
    request = BackendRequest(environ)
    try:
        call.model = get_service_model(call.service)
        call.operation, uri = get_service_router(call.service).match(request)
        call.protocol = determine_request_protocol(call.model, request.content_type)
    except (NotFound, NotImplementedError, LookupError, ValueError):
        return call
    except Exception as error:  # botocore's UnknownServiceError, and routers' own
        if type(error).__name__ not in ("UnknownServiceError", "OperationNotFoundError", "NotFound"):
            raise
        return call
    call.action = call.operation.name
    parser = PROTOCOL_PARSERS[call.protocol](call.operation, map_type=dict)
    call.params = parser.parse({
        "method": request.method,
        "values": request.values,
        "headers": request.headers,
        "body": request.get_data(),
        "url_path": request.path,
        "url_params": uri,
    })
    return call


def plain(value):
    """Parameters as JSON can hold them."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
