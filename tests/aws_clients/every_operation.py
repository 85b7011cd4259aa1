"""Writes the request that boto3 makes for every operation of every AWS service, one JSON object a line, without sending any."""

import json
import sys

import botocore.awsrequest
import botocore.serialize
import botocore.session


def example(shape, depth=0):
    """The least that a service model takes for a shape. What is far down is in the body, and does not matter."""
    kind = shape.type_name
    if kind == "structure":
        members = shape.required_members or (list(shape.members)[:1] if shape.is_tagged_union else [])
        return {name: example(shape.members[name], depth + 1) for name in members if depth < 4}
    if kind == "list":
        return [example(shape.member, depth + 1)]
    if kind == "map":
        return {example(shape.key): example(shape.value, depth + 1)}
    if kind == "string":
        return shape.enum[0] if shape.enum else "x" * max(1, shape.metadata.get("min", 1))
    if kind == "blob":
        return b"x"
    if kind == "boolean":
        return True
    if kind == "timestamp":
        return 1760918400
    return max(1, shape.metadata.get("min", 1))


def main():
    session = botocore.session.Session()
    for service in session.get_available_services():
        model = session.get_service_model(service)
        serializer = botocore.serialize.create_serializer(model.resolved_protocol, include_validation=False)
        for name in model.operation_names:
            operation = model.operation_model(name)
            arguments = example(operation.input_shape) if operation.input_shape else {}
            request = serializer.serialize_to_request(arguments, operation)
            botocore.awsrequest.prepare_request_dict(request, endpoint_url="http://127.0.0.1:1")
            request = botocore.awsrequest.create_request_object(request).prepare()
            body = request.body if isinstance(request.body, str) else (request.body or b"").decode("latin-1") if isinstance(request.body, (bytes, bytearray)) else ""
            line = {
                "service": model.endpoint_prefix,
                "signing": model.signing_name,
                "operation": name,
                "method": request.method,
                "target": request.url.removeprefix("http://127.0.0.1:1"),
                "headers": {key: value.decode() if isinstance(value, bytes) else str(value) for key, value in request.headers.items()},
                "body": body[:4096],
            }
            json.dump(line, sys.stdout)
            sys.stdout.write("\n")


if __name__ == "__main__":
    main()
