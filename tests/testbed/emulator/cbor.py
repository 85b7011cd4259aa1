"""CloudWatch over Smithy RPC v2 CBOR, which the newer SDKs speak and moto does not: translated into the query protocol and back.

The protocol: https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
"""

import re
from urllib.parse import urlencode

from botocore.parsers import create_parser
from botocore.serialize import RpcV2CBORSerializer, create_serializer

from .answers import plain_model

PATH = re.compile(r"^/service/GraniteServiceVersion20100801/operation/([A-Za-z]+)/?$")
HEADERS = {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}


class _Reader:
    """botocore's CBOR reader, for requests: shapes of an input instead of an output."""

    def __init__(self):
        self.parser = create_parser("smithy-rpc-v2-cbor")

    def read(self, body: bytes, shape):
        if not body:
            return {}
        return self.parser._parse_shape(shape, self.parser.parse_data_item(self.parser.get_peekable_stream_from_bytes(body)))


class Translation:
    """One request: as moto understands it, then its answer as the client does."""

    def __init__(self, environ: dict, body: bytes):
        name = PATH.match(environ.get("PATH_INFO", ""))
        self.operation = plain_model("cloudwatch").operation_model(name.group(1))
        shape = self.operation.input_shape
        sent = _Reader().read(body, shape) if shape is not None else {}
        query = create_serializer("query", include_validation=False).serialize_to_request(sent, self.operation)["body"]
        self.body = urlencode(query).encode()
        environ.update(PATH_INFO="/", RAW_URI="/", REQUEST_URI="/", QUERY_STRING="", CONTENT_TYPE="application/x-www-form-urlencoded; charset=utf-8",
                       CONTENT_LENGTH=str(len(self.body)))
        environ.pop("HTTP_SMITHY_PROTOCOL", None)

    def answer(self, status: int, headers: dict, body: bytes):
        """An answer of the query protocol, in CBOR."""
        parsed = create_parser("query").parse({"headers": headers, "status_code": status, "body": body}, self.operation.output_shape)
        if status >= 300:
            error = parsed.get("Error", {})
            said = {"__type": f"com.amazonaws.cloudwatch#{error.get('Code', 'InternalFailure')}", "message": error.get("Message", "")}
            out = bytearray()
            _write(out, said)
            kind = "Receiver" if status >= 500 else "Sender"
            return status, {**HEADERS, "x-amzn-query-error": f"{error.get('Code', 'InternalFailure')};{kind}"}, bytes(out)
        parsed.pop("ResponseMetadata", None)
        out = bytearray()
        RpcV2CBORSerializer()._serialize_data_item(out, parsed, self.operation.output_shape) if self.operation.output_shape is not None else _write(out, {})
        return status, dict(HEADERS), bytes(out)


def wanted(environ: dict) -> bool:
    return environ.get("HTTP_SMITHY_PROTOCOL") == "rpc-v2-cbor" and PATH.match(environ.get("PATH_INFO", "")) is not None


def _write(out: bytearray, value: dict) -> None:
    """A map of short texts: RFC 8949, major types 3 and 5."""
    out.append(0xA0 | len(value))
    for pair in value.items():
        for text in pair:
            data = text.encode()
            out.extend(bytes([0x78, len(data)]) if len(data) < 256 else bytes([0x79]) + len(data).to_bytes(2, "big"))
            out.extend(data)
