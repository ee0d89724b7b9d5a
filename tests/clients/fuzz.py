"""Requests made from the API document, at a server of its own on SQLite; `scripts/schemathesis` prepares and starts it."""

import sys

from served import HERE, INSTALLED, Site, main


def fuzz(site, examples, *options):
    """Fails where an answer is a 5xx, or not as the document says."""
    site.meet(
        INSTALLED / "schemathesis/bin/schemathesis", "--config-file", HERE / "schemathesis/schemathesis.toml", "run",
        f"{site.origin}/openapi.json", "--max-examples", examples, "--no-color", *options, cwd=INSTALLED)


if __name__ == "__main__":
    main("scripts/schemathesis", lambda world: fuzz(Site(world, "sqlite", {}), *sys.argv[1:]))
