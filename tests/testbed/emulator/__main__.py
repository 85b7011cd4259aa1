"""`python -m emulator`: starts it, lays out the world, prints one line of JSON, and ends when standard input closes."""

import argparse
import json
import os
import signal
import sys
import threading
import warnings
from pathlib import Path

# Before moto is imported. Thousands of images, and Amazon's policies, would only cost time.
os.environ.update(MOTO_EC2_LOAD_DEFAULT_AMIS="false", MOTO_DISABLE_GLOBAL_CORS="true")
for name in ("MOTO_ACCOUNT_ID", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE"):
    os.environ.pop(name, None)
os.environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull, AWS_EC2_METADATA_DISABLED="true")

from . import ACCOUNT, REGIONS, corrections, environment, world  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/testbed aws", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="where moto.yaml goes; made, and removed at the end")
    parser.add_argument("--subnets", type=int, default=world.Wanted.subnets, help="of each region (default: %(default)s)")
    parser.add_argument("--instances", type=int, default=world.Wanted.instances, help="of each region, beside those of its group (default: %(default)s)")
    parser.add_argument("--roles", type=int, default=world.Wanted.roles, help="IAM roles beside the named ones (default: %(default)s)")
    parser.add_argument("--with-roles", action="store_true", help="the environment names the roles firedrill, firedrill-undo and firedrill-deadman")
    parser.add_argument("--stay", action="store_true", help="until SIGTERM, instead of until standard input closes")
    parser.add_argument("--plain", action="store_true", help="moto as it is: nothing corrected, nothing laid out, no front")
    given = parser.parse_args()
    # Ctrl-C is for the program that started it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # moto warns of codes that a service's model lacks: the errors common to all services are in none.
    warnings.filterwarnings("ignore", message="Exception.* does not match an error shape")
    if given.plain:
        from .plain import serve

        server = serve()
    else:
        corrections.apply()
        from .front import Front
        from .server import serve

        front = Front()
        server = serve(front)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    said = {"endpoint": endpoint, "python": sys.executable, "pid": os.getpid()}
    if not given.plain:
        wanted = world.Wanted(given.subnets, given.instances, given.roles)
        front.lay_out = lambda: world.lay_out(endpoint, wanted)
        key = front.lay_out()
        front.log.clear()
        given.directory.mkdir(mode=0o700, parents=True)
    try:
        if not given.plain:
            file = environment.write(given.directory, endpoint, given.with_roles)
            said |= {"control": f"{endpoint}/testbed", "environment": str(file), "directory": str(given.directory), "account": ACCOUNT,
                     "regions": REGIONS, "accessKeyId": key["accessKeyId"], "secretAccessKey": key["secretAccessKey"]}
        # Whoever started it may be gone by now: then the line cannot be written, and nothing is left either.
        print(json.dumps(said), flush=True)
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: ended.set())
        if not given.stay:
            # Ends with whoever holds the other end, however that one ends.
            threading.Thread(target=lambda: (sys.stdin.buffer.read(), ended.set()), daemon=True).start()
        ended.wait()
    finally:
        if not given.plain:
            environment.remove(given.directory)
    # No waiting for connections that hang on purpose.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
