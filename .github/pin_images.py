"""Puts the published images' repositories and digests into the chart's values: pin_images.py VALUES PREFIX DIGESTS."""

import re
import sys
from pathlib import Path


def pinned(values: str, prefix: str, digests: dict[str, str]) -> str:
    """Return the values with each image's repository and digest; comments and order stay."""
    for name, digest in digests.items():
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            message = f"{name}: {digest!r} is no digest"
            raise ValueError(message)
        before = rf"(\n  {re.escape(name)}:\n    repository: )localhost/modelwright/{re.escape(name)}"
        block = re.compile(rf'{before}(\n    tag: ""\n    digest: )""')
        values, times = block.subn(rf"\g<1>{prefix}/{name}\g<2>{digest}", values)
        if times != 1:
            message = f"the values have no image {name} as it is expected"
            raise ValueError(message)
    if left := re.findall(r"repository: localhost/\S+", values):
        message = f"not published: {left}"
        raise ValueError(message)
    return values.replace(
        "# No registry publishes them yet: build them with `make images` and push them where your nodes can pull.\n", ""
    )


def main() -> None:
    """Rewrite the file."""
    file, prefix, folder = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    digests = {path.name: path.read_text(encoding="utf-8").strip() for path in sorted(folder.iterdir())}
    file.write_text(pinned(file.read_text(encoding="utf-8"), prefix, digests), encoding="utf-8")


if __name__ == "__main__":
    main()
