"""What moto 5.2.5 does otherwise than AWS, put right in process: one function for each difference, citing the page whose behaviour it restores.

A correction registers itself with `restores`; `apply` carries out all of them. `tests/testbed/emulator/check.py` has a check of the same name for each, and sees it
fail against plain moto.
"""

from dataclasses import dataclass

API = "https://docs.aws.amazon.com"


@dataclass
class Correction:
    name: str
    area: str
    page: str
    carry_out: object


ALL: list[Correction] = []


def restores(area: str, page: str):
    """Marks a function that changes moto's classes; its name is the correction's, its docstring says what moto does and what AWS does."""
    def marked(function):
        ALL.append(Correction(function.__name__, area, f"{API}/{page}", function))
        return function
    return marked


def apply() -> None:
    """Once in a process, before the first request."""
    from . import autoscaling, ec2, fis, identity, network, route53, scheduler  # noqa: F401 (they register themselves)

    for correction in ALL:
        if correction.carry_out is not None:
            correction.carry_out()


def elsewhere(name: str, area: str, page: str) -> None:
    """A correction that the front makes, named here so that one list has all."""
    ALL.append(Correction(name, area, f"{API}/{page}", None))


elsewhere("one_call_at_a_time", "concurrency", "AWSEC2/latest/APIReference/API_ReplaceNetworkAclAssociation.html")
elsewhere("dry_run_changes_nothing", "DryRun", "AWSEC2/latest/APIReference/CommonParameters.html")
elsewhere("pages_where_moto_has_none", "pages", "AWSEC2/latest/APIReference/API_DescribeNetworkAcls.html")
elsewhere("unknown_credentials_are_refused", "credentials", "AWSEC2/latest/APIReference/errors-overview.html")
elsewhere("expired_credentials_are_refused", "credentials", "STS/latest/APIReference/CommonErrors.html")
elsewhere("role_must_exist", "STS", "STS/latest/APIReference/API_AssumeRole.html")
elsewhere("policies_decide", "IAM", "IAM/latest/UserGuide/reference_policies_evaluation-logic.html")
elsewhere("conditions_decide", "IAM", "IAM/latest/UserGuide/reference_policies_elements_condition_operators.html")
elsewhere("resources_decide", "IAM", "service-authorization/latest/reference/list_amazonec2.html")
elsewhere("alarms_over_cbor", "CloudWatch", "AmazonCloudWatch/latest/APIReference/making-api-requests.html")
elsewhere("safety_lever", "FIS", "fis/latest/APIReference/API_GetSafetyLever.html")
