"""stub"""
from .identities import who_is  # noqa: F401


class Unknown(Exception):
    pass


def denied(call, who):
    return None
