"""Command line: `python -m tests.images build [NAME…]` prints one full image reference per line."""

import argparse
import sys

from tests.cluster.settings import ClusterError
from tests.images import build
from tests.images.inputs import EXAMPLES, IMAGES


def main() -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.images", description="Build Modelwright's container images.")
    commands = parser.add_subparsers(dest="command", required=True)
    builder = commands.add_parser("build", help="build what changed; print name and reference of each image")
    builder.add_argument(
        "names", nargs="*", metavar="NAME", help=" ".join(image.name for image in (*IMAGES, *EXAMPLES))
    )
    try:
        built = build(parser.parse_args().names)
    except ClusterError as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    for name, reference in built.items():
        print(name, reference)
    return 0


if __name__ == "__main__":
    sys.exit(main())
