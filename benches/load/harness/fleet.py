"""The commands that read every row, over very many of them: seconds, and the most memory that each process took.

fleet.py ROWS   credentials with a bcrypt digest, half of them used, for the reports; then as many in OpenBao, for the comparison
"""

import itertools
import re
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import seed
from servers import Servers
from world import Bao, Failed, Postgres, World, bare_environment

CONNECTIONS = 8
# Requests that are sent before their answers are read.
AHEAD = 64

LIST = 'path "secret/metadata/agentidp/*" { capabilities = ["list", "delete"] }'


def place(number):
    name = seed.numbered_id(number)
    return f"secret/data/agentidp/agents/{name}/credentials/{name}"


def fill(bao, numbers):
    """Writes a secret for each number: one connection, its requests sent ahead."""
    body = '{"data":{"clientSecret":"%s"}}' % seed.NUMBERED_SECRET
    numbers = iter(numbers)
    with socket.create_connection(("127.0.0.1", bao.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while batch := list(itertools.islice(numbers, AHEAD)):
            connection.sendall("".join(
                f"POST /v1/{place(number)} HTTP/1.1\r\nHost: bao\r\nX-Vault-Token: {bao.root}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}" for number in batch).encode())
            answers = b""
            while answers.count(b"HTTP/1.1 ") < len(batch) or not answers.endswith(b"}\n"):
                part = connection.recv(1 << 16)
                if not part:
                    raise Failed(f"OpenBao ended the connection: {answers[-200:]}")
                answers += part
            if answers.count(b"HTTP/1.1 200 ") != len(batch):
                raise Failed(f"OpenBao refused a secret: {answers[-400:]}")


def memory(process):
    """The most memory that it has had so far, in MiB; nothing once it has ended."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.M)
    return int(found[1]) / 1024 if found else None


def timed(kit, environment, rows, *arguments):
    """Runs a command, whose output goes to a file; prints how long it took and the most memory it had, after a tenth of that time
    and in the end."""
    path = kit.world.folder / "output"
    with path.open("w") as output:
        begin = time.monotonic()
        process = subprocess.Popen(
            [kit.ours_binary, *arguments], env={**bare_environment(), **environment}, stdout=output, stderr=subprocess.STDOUT,
            cwd=kit.world.folder)
        taken = []
        while process.poll() is None:
            taken.append(memory(process))
            time.sleep(0.05)
        seconds = time.monotonic() - begin
    lines, last = 0, ""
    with path.open() as output:
        for last in output:
            lines += 1
    if process.returncode:
        raise Failed(f"{' '.join(arguments)}: {last}")
    taken = [mib for mib in taken if mib]
    print(f"{' '.join(arguments):34} {rows:>9,} rows {seconds:7.1f} s {rows / seconds:>9,.0f} a second "
          f"{taken[len(taken) // 10]:6.1f} MiB, then {taken[-1]:6.1f} {lines:>9,} lines, the last: {last.strip()[:100]}", flush=True)


def reports(kit, rows):
    environment = kit.environment(vault=False, database="digests")
    kit.migrate("digests")
    seed.numbered(kit.postgres, "digests", ((number, seed.NUMBERED_DIGEST) for number in range(1, rows + 1)))
    kit.postgres.psql("digests", """
        insert into credential_usage (credential_id, last_used_at)
            select credential_id, 1700000000000 + row_number() over () from credentials where right(credential_id::text, 1) < '8';
        analyze""")
    for arguments in ([], ["--json"], ["--summary"], ["--without", "bcrypt"], ["--unused", "90d"]):
        timed(kit, environment, rows, "credentials", *arguments)


def comparison(kit, bao, rows):
    kit.migrate("kept")
    environment, numbers = kit.environment(database="kept"), range(1, rows + 1)
    begin = time.monotonic()
    with ThreadPoolExecutor(CONNECTIONS) as callers:
        list(callers.map(lambda start: fill(bao, numbers[start::CONNECTIONS]), range(CONNECTIONS)))
    print(f"filled {rows:,} in {time.monotonic() - begin:.0f} s", flush=True)
    seed.numbered(kit.postgres, "kept", ((number, seed.NUMBERED_DIGEST) for number in numbers))
    kit.postgres.psql("kept", """
        begin;
        set local session_replication_role = replica;
        alter table credentials disable trigger agentidp_credential_changed;
        update credentials set secret_hash = null, vault_version = 1, secret_selector = null,
            vault_path = 'secret/data/agentidp/agents/' || client_id || '/credentials/' || credential_id;
        alter table credentials enable always trigger agentidp_credential_changed;
        commit;
        vacuum analyze credentials""")
    timed(kit, environment, rows, "credentials", "--without", "vault-kv2")
    timed(kit, environment, rows, "reconcile", "--dry-run")


def main():
    rows = int(sys.argv[1])
    with World() as world:
        postgres, bao = Postgres(world), Bao(world, "openbao")
        bao.POLICY += LIST
        kit = Servers(world, postgres, bao)
        reports(kit, rows)
        comparison(kit, bao, rows)


if __name__ == "__main__":
    main()
