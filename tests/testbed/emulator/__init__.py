"""AWS on loopback, for tests: moto's server in one process, corrected where it differs from AWS, behind a front that logs and can be scripted.

`corrections/` restores what AWS does; `front` takes the requests; `scripts` says what is to go wrong; `rights` evaluates IAM policies; `world` is what
is laid out; `dump` shows it. It runs in the virtual environment of tests/testbed/requirements.txt: `scripts/testbed aws` finds it.
"""

ACCOUNT = "111122223333"
OTHER_ACCOUNT = "444455556666"
REGIONS = ("us-east-1", "us-west-2")
