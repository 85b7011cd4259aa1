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
    # What moto does, and what AWS does.
    says: str


ALL: list[Correction] = []


def restores(area: str, page: str):
    """Marks a function that changes moto's classes; its name is the correction's, its docstring says what moto does and what AWS does."""
    def marked(function):
        ALL.append(Correction(function.__name__, area, f"{API}/{page}", function, " ".join(function.__doc__.split())))
        return function
    return marked


def table() -> str:
    """For docs/testbed.md."""
    rows = []
    for one in sorted(ALL, key=lambda one: one.area.lower()):
        moto, _, aws = one.says.removeprefix("moto: ").partition(" AWS: ")
        rows.append(f"| [{one.area}]({one.page}) | `{one.name}` | {moto} | {aws} |")
    return "\n".join(["| | correction | moto | AWS, and here |", "|---|---|---|---|", *rows])


def apply() -> None:
    """Once in a process, before the first request."""
    from . import asked, autoscaling, dns_answer, ec2, fis, identity, network, route53, scheduler  # noqa: F401 (they register themselves)

    for correction in ALL:
        if correction.carry_out is not None:
            correction.carry_out()


def elsewhere(name: str, area: str, page: str, says: str) -> None:
    """A correction that the front makes, named here so that one list has all."""
    ALL.append(Correction(name, area, f"{API}/{page}", None, says))


elsewhere("one_call_at_a_time", "concurrency", "AWSEC2/latest/APIReference/API_ReplaceNetworkAclAssociation.html",
          "moto: readers see an association twice or not at all while it moves. AWS: a call is done or not done.")
elsewhere("dry_run_changes_nothing", "DryRun", "AWSEC2/latest/APIReference/CommonParameters.html",
          "moto: many calls are carried out in spite of `DryRun`. AWS: 412 DryRunOperation.")
elsewhere("pages_where_moto_has_none", "pages", "AWSEC2/latest/APIReference/API_DescribeNetworkAcls.html",
          "moto: subnets, ACLs, interfaces, endpoints, volumes, tags, health checks and more in one piece. AWS: pages.")
elsewhere("unknown_credentials_are_refused", "credentials", "AWSEC2/latest/APIReference/errors-overview.html",
          "moto: anybody. AWS: AuthFailure, InvalidClientTokenId, UnrecognizedClientException.")
elsewhere("expired_credentials_are_refused", "credentials", "STS/latest/APIReference/CommonErrors.html",
          "moto: a session lasts for ever. AWS: ExpiredToken, RequestExpired.")
elsewhere("role_must_exist", "STS", "STS/latest/APIReference/API_AssumeRole.html", "moto: credentials for a role that is not there. AWS: AccessDenied.")
elsewhere("policies_decide", "IAM", "IAM/latest/UserGuide/reference_policies_evaluation-logic.html",
          "moto: with policies enforced, GET and DELETE of REST services fail with SignatureDoesNotMatch. AWS: the policies decide.")
elsewhere("conditions_decide", "IAM", "IAM/latest/UserGuide/reference_policies_elements_condition_operators.html",
          "moto: every condition is true, so that a deny until yesterday still denies. AWS: conditions are evaluated.")
elsewhere("resources_decide", "IAM", "service-authorization/latest/reference/list_amazonec2.html",
          "moto: every call is on `*`, so that a policy with an ARN allows nothing. AWS: each resource of a call, with its tags.")
elsewhere("alarms_over_cbor", "CloudWatch", "AmazonCloudWatch/latest/APIReference/making-api-requests.html",
          "moto: 404 for Smithy RPC v2 CBOR, which the Rust SDK speaks. AWS: an answer.")
elsewhere("safety_lever", "FIS", "fis/latest/APIReference/API_GetSafetyLever.html", "moto: an HTML 404. AWS: the lever's state; here what a script says, or ResourceNotFoundException.")
