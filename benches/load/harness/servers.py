"""What is measured, and how each of it starts. All of them run from the beginning to the end of a run, and idle while
it is another's turn."""

import os
import re
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from measure import pss
from seed import MAC_KEY, MAC_KEY_ID
from world import LOAD, Failed, call, free_port, listens

ISSUER = "https://idp.example"

# What every variant of our server has; a variant adds to it.
OURS = {
    "RATE_LIMIT_PER_MINUTE": "0",  # or a client would get 100 requests a minute
    "LOG_LEVEL": "warn",
    "JWT_ISSUER": ISSUER,
    "WARM_VAULT_LIFETIME": "1h",
}


@dataclass
class Server:
    name: str
    urls: list
    processes: list
    others: dict = field(default_factory=dict)
    idle_mib: float = 0.0
    is_ours: bool = False

    @property
    def pids(self):
        return [process.pid for process in self.processes]

    @property
    def origin(self):
        return self.urls[0].split("/api/", 1)[0]

    def row_cache(self):
        """How often rows were found in memory and how often not, of all replicas; nothing where none are kept."""
        counted = {"hit": 0.0, "miss": 0.0, "off": 0.0, "anew": 0.0}
        for url in self.urls if self.is_ours else ():
            text = call("GET", url.split("/api/", 1)[0] + "/metrics")[1]
            for outcome, value in re.findall(r'^agentidp_row_cache_total\{outcome="(\w+)"\} (\S+)$', text, re.M):
                counted[outcome] += float(value)
        return counted


class Servers:
    """Starts servers in a world; `everything` they need is prepared by `prepare`."""

    def __init__(self, world, postgres, bao):
        self.world, self.postgres, self.bao = world, postgres, bao
        target = Path(os.environ["TARGET"])
        self.ours_binary, self.limits_binary = target / "release/agentidp-server", target / "release/load-limits"
        self.peers = target / "load/peers"
        self.keys = {"RS256": world.folder / "rs256.pem", "EdDSA": world.folder / "eddsa.pem"}
        generate(self.keys["RS256"], "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
        generate(self.keys["EdDSA"], "ED25519")
        self.vault_token = world.folder / "vault-token"
        self.vault_token.write_text(bao.least_privilege_token())
        self.vault_token.chmod(0o600)
        self.mac_keys = world.folder / "mac-keys"
        self.mac_keys.write_text(f"{MAC_KEY_ID}:{MAC_KEY.hex()}\n")
        self.mac_keys.chmod(0o600)
        self.stores = {"pg": postgres.process.pid, "bao": bao.process.pid}

    # --- Ours ---

    def environment(self, algorithm="RS256", vault=True, keyed=False, database="load", **settings):
        ours = {**OURS, "DATABASE_URL": self.postgres.url(database), "JWT_PRIVATE_KEY_FILE": str(self.keys[algorithm])}
        if vault:
            ours |= {"VAULT_ADDR": self.bao.address, "VAULT_TOKEN_FILE": str(self.vault_token), "VAULT_KV_MOUNT": "secret"}
        if keyed:
            ours |= {"MAC_KEYS_FILE": str(self.mac_keys)}
        return {**ours, **settings}

    def ours(self, name, replicas=1, **variant):
        environment = self.environment(**variant)
        processes, urls = [], []
        for number in range(replicas):
            port = free_port()
            process = self.world.start(
                f"{name}-{number}" if replicas > 1 else name, [self.ours_binary], {**environment, "PORT": str(port)})
            self.world.wait(process, lambda: listens(port))
            processes.append(process)
            urls.append(f"http://127.0.0.1:{port}/api/v1/token")
        time.sleep(0.5)
        return Server(name, urls, processes, self.stores, pss(processes[0].pid), True)

    def migrate(self, database):
        self.postgres.psql("postgres", f"create database {database} template template0")
        done = subprocess.run(
            [self.ours_binary, "migrate"], env={"PATH": os.environ["PATH"], **self.environment(database=database)},
            cwd=self.world.folder, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"`agentidp-server migrate` failed: {done.stderr.strip()}")

    # --- Peers ---

    def peer(self, name, command, path="/api/v1/token", others=None, **environment):
        port = free_port()
        process = self.world.start(name, [part if part != "PORT" else str(port) for part in command], {
            "PORT": str(port), "NODE_ENV": "production", "PGURL": self.postgres.url("load"), "ISSUER": ISSUER,
            "JWT_KEY_FILE": str(self.keys["RS256"]), "VAULT_ADDR": self.bao.address,
            "VAULT_TOKEN": self.vault_token.read_text(), **environment})
        self.world.wait(process, lambda: listens(port))
        time.sleep(0.3)
        others = self.stores if others is None else others
        return Server(name, [f"http://127.0.0.1:{port}{path}"], [process], others, pss(process.pid))

    def node(self):
        return self.peer("node", ["node", self.peers / "node/server.js"])

    def python(self):
        return self.peer("python", [
            self.peers / "python/bin/python", "-m", "uvicorn", "--app-dir", LOAD / "peers/python", "app:app", "--host",
            "127.0.0.1", "--port", "PORT", "--log-level", "warning", "--no-access-log", "--backlog", "1024"],
            PYTHONDONTWRITEBYTECODE="1")

    def oidc_provider(self, clients):
        return self.peer("oidc-provider", ["node", self.peers / "oidc-provider/server.js"], CLIENTS_FILE=str(clients))

    # --- Limits ---

    def hello(self):
        return self.peer("hello", [self.limits_binary, "hello", "PORT"])

    def ceiling(self, algorithm):
        return self.peer(f"ceiling-{algorithm}", [self.limits_binary, "token", algorithm, "PORT"])

    def signatures(self, algorithm, count):
        """Signatures a second, on all cores."""
        begin = time.monotonic()
        subprocess.run([self.limits_binary, "sign", algorithm, str(count)], check=True)
        return os.cpu_count() * count / (time.monotonic() - begin)


def approle(bao, folder, roles=200):
    """Roles with batch tokens in an OpenBao of their own; answers it as a server, and writes its clients' file."""
    bao.must("POST", "sys/auth/approle", {"type": "approle"})
    lines = []
    for number in range(roles):
        role = f"auth/approle/role/load-{number}"
        bao.must("POST", role, {"token_type": "batch", "token_ttl": "1h", "token_max_ttl": "1h", "token_policies": "default"})
        role_id = bao.must("GET", f"{role}/role-id")["data"]["role_id"]
        lines.append(f"{role_id} {bao.must('POST', f'{role}/secret-id', {})['data']['secret_id']}\n")
    (folder / "clients-approle").write_text("".join(lines))
    url = f"{bao.address}/v1/auth/approle/login"
    return Server("approle", [url], [bao.process], {}, pss(bao.process.pid))


def generate(path, algorithm, *options):
    """A signing key, once for a run."""
    done = subprocess.run(
        ["openssl", "genpkey", "-algorithm", algorithm, *options, "-out", path], capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"openssl made no {algorithm} key: {done.stderr.strip()}")
    path.chmod(0o600)


def health(server):
    return call("GET", f"{server.origin}/health")
