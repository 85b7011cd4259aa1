"""Answers in each service's own protocol: errors, and results that were changed on their way out."""

import functools
import re

from botocore.model import ServiceModel as PlainServiceModel
from botocore.parsers import create_parser
from moto.core.model import OperationModel
from moto.core.serialize import get_serializer_class
from moto.core.utils import _load_service_model

from .refusals import Refusal
from .requests import Call

# How each service says that it is asked too often: "Common Errors" of its API reference.
# ec2: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html, scheduler and fis: ThrottlingException of their operations' pages.
THROTTLING = {"ec2": (503, "RequestLimitExceeded"), "scheduler": (429, "ThrottlingException"), "fis": (429, "ThrottlingException")}
# Where the code of a 500 or 503 is not InternalFailure or ServiceUnavailable.
SERVER_ERRORS = {
    ("ec2", 500): "InternalError", ("ec2", 503): "Unavailable",
    ("scheduler", 500): "InternalServerException", ("fis", 500): "InternalServerException",
}
# How each service refuses: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html, and the services' common errors.
DENIED = {"ec2": (403, "UnauthorizedOperation"), "scheduler": (403, "AccessDeniedException"), "fis": (403, "AccessDeniedException")}


def failure(call: Call, status: int, code: str, message: str):
    """(status, headers, body) of an error as the service itself would send it."""
    operation = call.operation or OperationModel({}, call.model)
    serializer = get_serializer_class(call.service, call.protocol or str(call.model.protocol))(operation_model=operation)
    said = serializer.serialize(Refusal(code, message))
    body = said["body"]
    if call.service == "ec2":
        body = body.replace("<RequestID>None</RequestID>", "<RequestID>00000000-0000-4000-8000-000000000000</RequestID>")
    return status, {**said["headers"], "Content-Type": said["headers"].get("Content-Type") or "text/xml"}, body.encode()


def parsed(call: Call, status: int, headers: dict, body: bytes) -> dict:
    """A moto answer as boto3 would give it."""
    return create_parser(call.protocol).parse({"headers": {key.lower(): value for key, value in headers.items()}, "status_code": status, "body": body},
                                              plain_operation(call).output_shape)


def rendered(call: Call, result: dict):
    """(status, headers, body) of a result in boto3's form."""
    serializer = get_serializer_class(call.service, call.protocol)(operation_model=call.operation)
    said = serializer.serialize({key: value for key, value in result.items() if key != "ResponseMetadata"})
    body = said["body"]
    return said["status_code"], said["headers"], body if isinstance(body, bytes) else body.encode()


def plain_operation(call: Call):
    """The operation as botocore's own classes have it: its parsers know nothing of moto's."""
    return plain_model(call.service).operation_model(call.action)


@functools.cache
def plain_model(service: str):
    """EC2's takes half a second to read."""
    return PlainServiceModel(_load_service_model(service, "service-2"), service)


def error_code(call: Call, body: bytes, headers: dict) -> str:
    """The code in an error answer; empty where there is none."""
    text = body[:20_000].decode("utf-8", "replace")
    for pattern in (r"<Code>([^<]+)</Code>", r'"__type"\s*:\s*"(?:[^"#]*#)?([^"]+)"', r'"code"\s*:\s*"([^"]+)"'):
        found = re.search(pattern, text)
        if found:
            return found.group(1)
    return next((value.split(":")[0] for key, value in headers.items() if key.lower() == "x-amzn-errortype"), "")
