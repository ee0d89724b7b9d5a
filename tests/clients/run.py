"""Runs every client against servers of its own; `scripts/clients` prepares and starts it."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "benches/load/harness"))

from seed import AGENT, operator_token
from world import Bao, Failed, Postgres, World, bare_environment, call, free_port

TARGET = Path(os.environ["TARGET"])
INSTALLED = TARGET / "clients"
SERVER = TARGET / "debug/agentidp-server"


class Site:
    """A server with an agent and its credential."""

    def __init__(self, world, name, settings, issuer_path=""):
        port = free_port()
        self.origin = f"http://127.0.0.1:{port}"
        self.issuer = self.origin + issuer_path
        settings = {
            "PORT": str(port), "JWT_ISSUER": self.issuer, "AGENTIDP_DATA_DIR": str(world.folder / name),
            "RATE_LIMIT_PER_MINUTE": "0", **settings}
        process = world.start(name, [SERVER], settings)
        world.wait(process, self.is_ready)
        self.bearer = {"Authorization": f"Bearer {operator_token(SERVER, settings, world.folder)}"}
        self.agent = self.make("/agents", {**AGENT, "email": "client@agents.example"})["agentId"]
        self.secret = self.make(f"/agents/{self.agent}/credentials", {})["clientSecret"]

    def is_ready(self):
        try:
            return call("GET", f"{self.origin}/ready")[0] == 200
        except OSError:
            return False

    def make(self, path, body):
        status, answer = call("POST", f"{self.origin}/api/v1{path}", body, self.bearer)
        if status != 201:
            raise Failed(f"the server refused POST {path}: {status} {answer}")
        return answer

    def meet(self, *command, **environment):
        told = {"ISSUER": self.issuer, "CLIENT_ID": self.agent, "CLIENT_SECRET": self.secret, **environment}
        done = subprocess.run([str(part) for part in command], env={**bare_environment(), **told}, cwd=INSTALLED / "node")
        if done.returncode:
            raise Failed(f"{command[-1]} failed")


def every_client(site, profile):
    site.meet("node", INSTALLED / "node/clients.mjs", PROFILE=profile)
    site.meet(INSTALLED / "python/bin/python", HERE / "python/clients.py", PROFILE=profile, OAUTHLIB_INSECURE_TRANSPORT="1")
    site.meet(TARGET / "debug/oauth2-client")


def main(world):
    print("SQLite, bcrypt, tokens as documented")
    every_client(Site(world, "sqlite", {}), "jwt")

    print("PostgreSQL, secrets in OpenBao, tokens of RFC 9068")
    postgres, bao, key = Postgres(world), Bao(world, "openbao"), world.folder / "key.pem"
    postgres.psql("postgres", "create database clients template template0")
    made = ["openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(key)]
    subprocess.run(made, check=True)
    stores = {
        "DATABASE_URL": postgres.url("clients"), "JWT_PRIVATE_KEY_FILE": str(key), "VAULT_ADDR": bao.address,
        "VAULT_TOKEN": bao.least_privilege_token()}
    every_client(Site(world, "postgres", {**stores, "TOKEN_PROFILE": "rfc9068"}), "rfc9068")

    print("An issuer with a path")
    Site(world, "path", {}, "/tenants/a").meet("node", INSTALLED / "node/discovery.mjs")


if __name__ == "__main__":
    try:
        with World() as world:
            main(world)
    except Failed as error:
        sys.exit(f"scripts/clients: {error}")
    print("every client was served as it expects")
