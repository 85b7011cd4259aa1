"""For boto3_script.py: what EventBridge Scheduler does with universal targets when their time has come.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html
"""

import boto3
from botocore import xform_name


def fire(schedule):
    scheduler = client("scheduler", args["region"])  # noqa: F821 (boto3_script.py gives these names)
    whole = scheduler.get_schedule(Name=schedule["Name"], GroupName=schedule["GroupName"])
    target = whole["Target"]
    # arn:aws:scheduler:::aws-sdk:ec2:startInstances
    service, action = target["Arn"].split(":")[-2:]
    keys = client("sts").assume_role(RoleArn=target["RoleArn"], RoleSessionName="schedule")["Credentials"]  # noqa: F821
    as_role = boto3.session.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name=args["region"])  # noqa: F821
    caller = as_role.client(service, endpoint_url=given["endpoint"])  # noqa: F821
    done = tried(getattr(caller, xform_name(action[0].upper() + action[1:])), **json.loads(target.get("Input", "{}")))  # noqa: F821
    if whole.get("ActionAfterCompletion") == "DELETE":
        scheduler.delete_schedule(Name=schedule["Name"], GroupName=schedule["GroupName"])
    return {"name": schedule["Name"], "target": target["Arn"], **done}


found = [one for page in client("scheduler", args["region"]).get_paginator("list_schedules").paginate() for one in page["Schedules"]]  # noqa: F821
result = [fire(one) for one in sorted(found, key=lambda one: one["Name"]) if one["Name"].startswith(args["prefix"]) and one["State"] == "ENABLED"]  # noqa: F821
