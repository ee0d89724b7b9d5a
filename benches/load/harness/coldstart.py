"""A restart: every client comes back at once, and nothing of its secret is in memory. Each asks again when it is told to.

coldstart.py URL FIRST COUNT SECRET IN_FLIGHT   prints what became of them as JSON.
"""

import asyncio
import collections
import json
import subprocess
import sys
import time
from urllib.parse import urlsplit

import seed
from plan import AT, STARTING, STARTING_FIRST
from world import Failed, bare_environment

PATIENCE = 30


async def answer(reader):
    """Status and headers of one answer; its body is read."""
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)).decode("latin-1").lower()
    lines = head.split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    await reader.readexactly(int(headers.get("content-length", 0)))
    return lines[0].split(" ", 2)[1], headers


async def work(url, numbers, secret, found):
    """Takes one client after the other, each until it has its token."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    for number in numbers:
        form = f"grant_type=client_credentials&client_id={seed.numbered_id(number)}&client_secret={secret}"
        request = (f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                   f"Content-Length: {len(form)}\r\n\r\n{form}").encode()
        while True:
            writer.write(request)
            status, headers = await answer(reader)
            found[status] += 1
            if status != "503" or "retry-after" not in headers:
                break
            await asyncio.sleep(int(headers["retry-after"]))
    writer.close()


async def start(url, first, count, secret, in_flight):
    found, begin = collections.Counter(), time.monotonic()
    numbers = iter(range(first, first + count))
    await asyncio.gather(*(work(url, numbers, secret, found) for _ in range(in_flight)))
    return {"seconds": time.monotonic() - begin, "answers": found}


def rows(kit, token):
    """The clients, each with a digest of the default cost of one and the same secret; answers that."""
    server = kit.ours("seed-cold-start", vault=False)
    [(agent, secret)] = seed.Seeder(server.origin, token, kit.world.folder).agent("cold-start@agents.example", 1)
    kit.world.stop(server.processes[0])
    digest = kit.postgres.psql("load", f"select secret_hash from credentials where client_id = '{agent}'").strip()
    numbers = range(STARTING_FIRST, STARTING_FIRST + STARTING)
    seed.numbered(kit.postgres, "load", ((number, digest) for number in numbers), secret)
    return secret


def run(kit, token):
    secret = rows(kit, token)
    server = kit.ours("cold-start", keyed=True)
    done = subprocess.run(
        [sys.executable, __file__, server.urls[0], str(STARTING_FIRST), str(STARTING), secret, str(AT)],
        env=bare_environment(), capture_output=True, text=True)
    kit.world.stop(server.processes[0])
    if done.returncode:
        raise Failed(f"the clients broke off:\n{done.stderr}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    address, first_number, clients, given, at_once = sys.argv[1:]
    print(json.dumps(asyncio.run(start(address, int(first_number), int(clients), given, int(at_once)))))
