"""Calls AWS services with boto3 as anybody would, and says which exception each call raised: one JSON object a line. Argument: the endpoint."""

import concurrent.futures
import json
import sys

import boto3
import botocore.exceptions

CALLS = [
    ("sts", "get_caller_identity", {}),
    ("sts", "assume_role", {"RoleArn": "arn:aws:iam::123456789012:role/service", "RoleSessionName": "pod-1"}),
    (
        "sts",
        "assume_role_with_web_identity",
        {"RoleArn": "arn:aws:iam::123456789012:role/pod", "RoleSessionName": "pod-1", "WebIdentityToken": "e30.e30.e30"},
    ),
    ("iam", "list_policies", {}),
    ("sns", "get_sms_attributes", {}),
    ("ec2", "describe_instances", {}),
    ("dynamodb", "get_item", {"TableName": "orders", "Key": {"id": {"S": "1"}}}),
    ("acm", "delete_certificate", {"CertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/0"}),
    ("eks", "create_capability", {"clusterName": "blue", "capabilityName": "c", "type": "ACK", "roleArn": "arn:aws:iam::123456789012:role/c",
                                  "deletePropagationPolicy": "RETAIN"}),
    ("eks", "list_clusters", {}),
    ("lambda", "invoke", {"FunctionName": "f", "Payload": b"{}"}),
    ("route53", "list_hosted_zones", {}),
    ("route53", "change_tags_for_resource", {"ResourceType": "hostedzone", "ResourceId": "Z1", "AddTags": [{"Key": "k", "Value": "v"}]}),
    ("s3", "get_object", {"Bucket": "photos", "Key": "a/b.jpg"}),
    ("s3", "head_object", {"Bucket": "photos", "Key": "a/b.jpg"}),
    ("sqs", "send_message", {"QueueUrl": "https://sqs.us-east-1.amazonaws.com/123456789012/q", "MessageBody": "m"}),
    ("cloudwatch", "put_metric_data", {"Namespace": "n", "MetricData": [{"MetricName": "m", "Value": 1}]}),
    ("eventbridgev2", "list_event_buses", {}),
]


def told(endpoint, service, method, arguments):
    # Nothing but where, who and which region: retries and timeouts are boto3's own.
    session = boto3.session.Session(aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="secret", region_name="us-east-1")
    client = session.client(service, endpoint_url=endpoint)
    try:
        getattr(client, method)(**arguments)
    except botocore.exceptions.ClientError as error:
        name = type(error).__name__
        return {
            "service": client.meta.service_model.endpoint_prefix,
            "operation": client.meta.method_to_api_mapping[method],
            "code": error.response["Error"]["Code"],
            "message": error.response["Error"].get("Message", ""),
            "status": error.response["ResponseMetadata"]["HTTPStatusCode"],
            "request": error.response["ResponseMetadata"].get("RequestId", ""),
            "protocol": protocol(client.meta.service_model),
            # As in `except client.exceptions.ThrottlingException`.
            "typed": name if type(error) is getattr(client.exceptions, name, None) and name != "ClientError" else None,
        }
    sys.exit(f"{service} {method}: no error")


def protocol(model):
    """What the client spoke, which for some services is one of several."""
    spoken = model.resolved_protocol
    return {"json": f"json {model.metadata.get('jsonVersion')}", "smithy-rpc-v2-cbor": "cbor"}.get(spoken, spoken)


def main():
    endpoint = sys.argv[1]
    with concurrent.futures.ThreadPoolExecutor(len(CALLS)) as pool:
        answers = [pool.submit(told, endpoint, *call) for call in CALLS]
        for answer in answers:
            print(json.dumps(answer.result()), flush=True)


if __name__ == "__main__":
    main()
