"""The test bed by hand: python -m testbed {cluster up|down|env|exec|load, image base|build|push, binaries}."""

import argparse
import sys
from pathlib import Path

from testbed import images
from testbed.binaries import PROGRAMS, binary
from testbed.cluster import ProcessCluster
from testbed.engines import engine
from testbed.needs import CannotSupply
from testbed.node import layout


def main() -> int:
    arguments = _parser().parse_args()
    try:
        return arguments.run(arguments) or 0
    except (CannotSupply, RuntimeError, TimeoutError) as trouble:
        print(trouble, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m testbed", description=__doc__)
    groups = parser.add_subparsers(required=True)

    cluster = groups.add_parser("cluster", help="a Kubernetes on this machine").add_subparsers(required=True)
    cluster.add_parser("up", help="start it, if need be, and print its environment").set_defaults(run=_up)
    down = cluster.add_parser("down", help="end it")
    down.add_argument("--purge", action="store_true", help="also forget the kept image layers")
    down.add_argument("--force", action="store_true", help="even while a test run uses it")
    down.set_defaults(run=lambda given: ProcessCluster().down(given.purge, given.force))
    cluster.add_parser("env", help="print its environment").set_defaults(run=_env)
    execute = cluster.add_parser("exec", help="run a command as on its node")
    execute.add_argument("command", nargs=argparse.REMAINDER)
    execute.set_defaults(run=lambda given: ProcessCluster().exec([part for part in given.command if part != "--"]))
    load = cluster.add_parser("load", help="hand a local image over; prints its name for pods")
    load.add_argument("ref")
    load.set_defaults(run=lambda given: print(ProcessCluster().load_image(given.ref)))

    image = groups.add_parser("image", help="images, by Docker or without it").add_subparsers(required=True)
    image.add_parser("base", help="make the base image and print its name").set_defaults(
        run=lambda _: print(images.base())
    )
    build = image.add_parser("build", help="build a Containerfile and print the image's name")
    build.add_argument("tag")
    build.add_argument("--file", type=Path, required=True)
    build.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    build.add_argument("context", type=Path)
    build.set_defaults(run=_build)

    push = image.add_parser("push", help="push a local image to a registry and print its name there")
    push.add_argument("ref")
    push.add_argument("target")
    push.set_defaults(run=lambda given: print(engine().push(given.ref, given.target)))

    programs = groups.add_parser("binaries", help="build programs into the cache and print their paths")
    programs.add_argument("names", nargs="*", default=list(PROGRAMS))
    programs.set_defaults(run=lambda given: print("\n".join(str(binary(name)) for name in given.names)))
    return parser


def _up(given: argparse.Namespace) -> None:
    ProcessCluster().up()
    _env(given)


def _env(_: argparse.Namespace) -> None:
    cluster = ProcessCluster()
    print(f"export KUBECONFIG={cluster.kubeconfig}")
    print(f"export PATH={cluster.tools}:$PATH")
    print(f"export REGISTRY={layout.REGISTRY}")
    print(f"export AWS_ENDPOINT_URL={layout.S3_ENDPOINT} AWS_REGION={layout.S3_REGION}")
    print(f"export AWS_ACCESS_KEY_ID={layout.S3_ACCESS_KEY} AWS_SECRET_ACCESS_KEY={layout.S3_SECRET_KEY}")


def _build(given: argparse.Namespace) -> None:
    passed = dict(pair.split("=", 1) for pair in given.build_arg)
    print(engine().build(given.tag, given.file, given.context, passed))


if __name__ == "__main__":
    sys.exit(main())
