"""stub"""


def everything():
    return {}
