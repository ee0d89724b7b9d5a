"""Agents and credentials, made through the server's own API, so that every row is one that it would write itself.

Groups of clients end up in files, `id secret` a line; `numbered` agents are rows that SQL makes many of.
"""

import hmac
import os
import random
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from world import Failed, bare_environment, call

AGENT = {
    "agentType": "custom", "version": "1.0.0", "capabilities": ["load:run"], "owner": "load", "deploymentEnv": "development",
}
CALLERS = 8


def operator_token(binary, environment, cwd):
    done = subprocess.run(
        [binary, "operator-token", "--ttl", "2h"], env={**bare_environment(), **environment}, cwd=cwd, capture_output=True,
        text=True)
    if done.returncode:
        raise Failed(f"no operator token: {done.stderr.strip()}")
    return done.stdout.strip()


class Seeder:
    """Makes agents through one server."""

    def __init__(self, origin, token, folder):
        self.api, self.folder = f"{origin}/api/v1", folder
        self.headers = {"Authorization": f"Bearer {token}"}

    def must(self, method, path, body=None):
        status, answer = call(method, self.api + path, body, self.headers)
        if status != 201:
            raise Failed(f"the server refused {method} {path}: {status} {answer}")
        return answer

    def agent(self, email, credentials):
        agent = self.must("POST", "/agents", {**AGENT, "email": email})["agentId"]
        return [(agent, self.must("POST", f"/agents/{agent}/credentials")["clientSecret"]) for _ in range(credentials)]

    def group(self, name, agents, credentials):
        """A group in two files: the right secrets, and wrong ones of the right form."""
        with ThreadPoolExecutor(CALLERS) as callers:
            emails = [f"{name}-{number}@agents.example" for number in range(agents)]
            clients = [one for made in callers.map(lambda email: self.agent(email, credentials), emails) for one in made]
        random.Random(1).shuffle(clients)
        self.write(name, clients)
        self.write(f"wrong-{name}", [(agent, "sk_live_" + os.urandom(32).hex()) for agent, _ in clients])

    def write(self, name, clients):
        clients_file(self.folder, name).write_text("".join(f"{agent} {secret}\n" for agent, secret in clients))


def clients_file(folder, name):
    return Path(folder) / f"clients-{name}"


# --- Numbered agents ------------------------------------------------------------------------------------------------

# All of them have this secret.
NUMBERED_SECRET = "sk_live_" + "0123456789abcdef" * 4
# Its bcrypt digest at the lowest cost there is: each is checked once, and it is what comes after that is measured. One
# digest does for all, for bcrypt's does not name its client.
NUMBERED_DIGEST = "$2b$04$abcdefghijklmnopqrstuupkXze/NaVmU3Mo/4C4jN.zpyZrR/ie2"


# The key of every keyed digest and selector in the run, and its name.
MAC_KEY_ID, MAC_KEY = "load", bytes(range(32))


def mac(purpose, *parts):
    """As the library computes it: a key for each purpose, and each part after its length."""
    subkey = hmac.digest(MAC_KEY, f"agentidp-secrets {purpose} v1".encode(), "sha256")
    return hmac.digest(subkey, b"".join(len(part).to_bytes(4, "big") + part for part in parts), "sha256").hex()


def keyed_digest(number):
    """What the server would store for agent `number`; it names client and credential, so each has one of its own."""
    name, salt = numbered_id(number).encode(), number.to_bytes(16, "big")
    digest = mac("keyed-digest", name, name, salt, NUMBERED_SECRET.encode())
    return f"$hmac-sha256$v=1$keyid={MAC_KEY_ID}${salt.hex()}${digest}"


def selector(number, secret):
    """Without it each row would be written once more, when its secret is first proved."""
    return f"{MAC_KEY_ID}:{mac('selector', numbered_id(number).encode(), secret.encode())[:16]}"


def numbered_id(number):
    """Of an agent, and of its only credential."""
    return f"00000000-0000-4000-8000-{number:012x}"


def numbered(postgres, database, agents, secret=NUMBERED_SECRET):
    """Writes agents and a credential each straight into the tables, a million of them: indexes are made afterwards and
    triggers told nothing. `agents` yields numbers with digests of the secret."""
    indexes = postgres.psql(database, """
        select indexname, indexdef from pg_indexes where tablename in ('agents', 'credentials')
        and indexname not in (select conname from pg_constraint)""").split("\n")
    indexes = [line.split("|", 1) for line in indexes if line]
    drop = "\n".join(f"drop index {name};" for name, _ in indexes)
    create = "\n".join(f"{definition};" for _, definition in indexes)
    rows = "".join(f"{numbered_id(number)}\t{digest}\t{selector(number, secret)}\n" for number, digest in agents)
    postgres.psql(database, f"""
begin;
set local session_replication_role = replica;
alter table credentials disable trigger agentidp_credential_changed;
{drop}
create temporary table made (id uuid, digest text, selector text) on commit drop;
copy made from stdin;
{rows}\\.
insert into agents (agent_id, email, agent_type, version, capabilities, owner, deployment_env)
    select id, id || '@agents.example', 'custom', '1.0.0', '{{load:run}}', 'load', 'development' from made;
insert into credentials (credential_id, client_id, secret_hash, secret_selector)
    select id, id, digest, selector from made;
{create}
alter table credentials enable always trigger agentidp_credential_changed;
commit;
analyze;
checkpoint;
""")
