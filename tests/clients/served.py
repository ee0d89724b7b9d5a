"""A server of our own for others to call, with an agent that has a credential."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "benches/load/harness"))

from seed import AGENT, operator_token
from world import Bao, Failed, Postgres, World, bare_environment, call, free_port

TARGET = Path(os.environ["TARGET"])
INSTALLED = TARGET / "clients"
SERVER = Path(os.environ.get("SERVER", TARGET / "debug/agentidp-server"))


class Site:
    """A server with an agent and its credential."""

    def __init__(self, world, name, settings, issuer_path=""):
        port = free_port()
        self.port, self.origin = port, f"http://127.0.0.1:{port}"
        self.issuer = self.origin + issuer_path
        settings = {
            "PORT": str(port), "JWT_ISSUER": self.issuer, "AGENTIDP_DATA_DIR": str(world.folder / name),
            "RATE_LIMIT_PER_MINUTE": "0", **settings}
        self.process = world.start(name, [SERVER], settings)
        world.wait(self.process, self.is_ready)
        self.operator = operator_token(SERVER, settings, world.folder)
        self.agent, self.secret = self.client("client")

    def is_ready(self):
        try:
            return call("GET", f"{self.origin}/ready")[0] == 200
        except OSError:
            return False

    def client(self, name):
        """An agent with a credential: its id and secret."""
        agent = self.make("/agents", {**AGENT, "email": f"{name}@agents.example"})["agentId"]
        return agent, self.make(f"/agents/{agent}/credentials", {})["clientSecret"]

    def make(self, path, body):
        status, answer = call("POST", f"{self.origin}/api/v1{path}", body, {"Authorization": f"Bearer {self.operator}"})
        if status != 201:
            raise Failed(f"the server refused POST {path}: {status} {answer}")
        return answer

    def meet(self, *command, cwd=None, **environment):
        """Runs a program that learns of the server, its agent and an operator's token from its environment."""
        told = {"ORIGIN": self.origin, "OPERATOR": self.operator, "ISSUER": self.issuer, "CLIENT_ID": self.agent, "CLIENT_SECRET": self.secret}
        done = subprocess.run([str(part) for part in command], env={**bare_environment(), **told, **environment}, cwd=cwd)
        if done.returncode:
            raise Failed(f"{' '.join(map(str, command))} failed")


def on_postgres_and_vault(world, **settings):
    """The settings of a server on PostgreSQL whose secrets are in OpenBao."""
    postgres, bao, key = Postgres(world), Bao(world, "openbao"), world.folder / "key.pem"
    postgres.psql("postgres", "create database clients template template0")
    made = ["openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(key)]
    subprocess.run(made, check=True)
    return {
        "DATABASE_URL": postgres.url("clients"), "JWT_PRIVATE_KEY_FILE": str(key), "VAULT_ADDR": bao.address,
        "VAULT_TOKEN": bao.least_privilege_token(), **settings}


def main(name, work):
    """Does the work in a world of its own; what fails is the last line."""
    try:
        with World() as world:
            work(world)
    except Failed as error:
        sys.exit(f"{name}: {error}")
