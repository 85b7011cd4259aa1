"""Roles as AssumeRole finds them."""

from moto.iam.models import iam_backends
from moto.sts.responses import TokenResponse

from ..refusals import Refusal
from . import restores


def role_of(arn: str):
    """moto's role of that ARN in whichever account; None when there is none."""
    account = arn.split(":")[4] if arn.count(":") >= 5 else ""
    if account not in iam_backends:
        return None
    return next((one for one in iam_backends[account]["aws"].roles.values() if one.arn == arn), None)


@restores("STS", "STS/latest/APIReference/API_AssumeRole.html")
def session_within_the_roles_limit() -> None:
    """moto: any DurationSeconds. AWS: ValidationError above the role's MaxSessionDuration, and below 900."""
    original = TokenResponse.assume_role

    def assume(self):
        role, seconds = role_of(self._get_param("RoleArn")), self._get_int_param("DurationSeconds", 3600)
        if role is not None and seconds > int(role.max_session_duration or 3600):
            raise Refusal("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
        if seconds < 900:
            raise Refusal("ValidationError", f"1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy constraint: Member "
                                                      "must have value greater than or equal to 900")
        return original(self)

    TokenResponse.assume_role = assume
