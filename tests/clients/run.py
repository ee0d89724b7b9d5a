"""Runs every client against servers of its own; `scripts/clients` prepares and starts it."""

from fuzz import fuzz
from served import HERE, INSTALLED, TARGET, Site, main, on_postgres_and_vault

EXAMPLES = 100


def every_client(site, profile):
    site.meet("node", INSTALLED / "node/clients.mjs", PROFILE=profile)
    site.meet(INSTALLED / "python/bin/python", HERE / "python/clients.py", PROFILE=profile, OAUTHLIB_INSECURE_TRANSPORT="1")
    site.meet(TARGET / "debug/oauth2-client")


def run(world):
    print("SQLite, bcrypt, tokens as documented", flush=True)
    every_client(Site(world, "sqlite", {}), "jwt")
    print("PostgreSQL, secrets in OpenBao, tokens of RFC 9068", flush=True)
    site = Site(world, "postgres", on_postgres_and_vault(world, TOKEN_PROFILE="rfc9068"))
    every_client(site, "rfc9068")
    print("An issuer with a path", flush=True)
    Site(world, "path", {}, "/tenants/a").meet("node", INSTALLED / "node/discovery.mjs")
    print("The API document on PostgreSQL and OpenBao", flush=True)
    fuzz(site, EXAMPLES)


if __name__ == "__main__":
    main("scripts/clients", run)
    print("every client was served as it expects")
