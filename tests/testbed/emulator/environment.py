"""The environment file that drills take."""

import json
import shutil
from pathlib import Path

from . import ACCOUNT, REGIONS

# Every kind that works on AWS, actions too.
FAULTS = ("ec2Stop", "subnetIsolate", "awsIamDeny", "route53HealthInvert", "launchRefusal", "vpcEndpointDeny", "fisExperiment")
NAME = "moto.yaml"


def write(directory: Path, endpoint: str, with_roles: bool) -> Path:
    account = {"name": "main", "account": ACCOUNT, "regions": list(REGIONS)}
    if with_roles:
        role = f"arn:aws:iam::{ACCOUNT}:role/firedrill"
        account |= {"roleArn": role, "undoRoleArn": f"{role}-undo", "deadManRoleArn": f"{role}-deadman"}
    spec = {"aws": [account], "allow": {"faults": FAULTS, "noDeadMan": True}, "network": {"allowPrivate": True}, "emulator": True, "endpointUrl": endpoint}
    file = directory / NAME
    # JSON is YAML.
    file.write_text(json.dumps({"apiVersion": "firedrill.dev/v1alpha1", "kind": "Environment", "metadata": {"name": "aws-emulator"}, "spec": spec}, indent=2) + "\n")
    return file


def remove(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
