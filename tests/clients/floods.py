"""Floods of each kind that the server has a bound for, and malformed requests; `scripts/floods` prepares and starts it.

During each flood a few other clients, at another address, go on logging in: all of them have to be served. Memory has to stay flat,
the log without a panic, and every 5xx one that the contract names.
"""

import asyncio
import collections
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
import uuid
from pathlib import Path

from requests_on_wire import PREFACE, frame, header, login, requests, spoilt
from served import Failed, Site, main, on_postgres_and_vault

HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"
MALFORMED = 20_000
EVENTS = 200_000
# Memory may grow by so much between the first third of a flood and its last: buffers, and not more with each request.
FLAT_MIB = 24
# What a server that cannot answer now may say, and what it says then.
NAMED = {(503, "SERVICE_UNAVAILABLE"), (500, "VAULT_READ_ERROR"), (503, "temporarily_unavailable")}


class Wire:
    """One connection of HTTP/1.1."""

    def __init__(self, port, source=HERE):
        self.port, self.source, self.streams = port, source, None

    async def ask(self, request):
        """The status and the code of the answer; opens the connection again where it was closed."""
        if self.streams is None:
            self.streams = await asyncio.open_connection(HERE, self.port, local_addr=(self.source, 0))
        reader, writer = self.streams
        try:
            writer.write(request)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
            length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
            body = await reader.readexactly(length)
            if b"connection: close" in head.lower():
                self.close()
            return int(head[9:12]), code_of(body)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
            self.close()
            return type(error).__name__, None

    def close(self):
        if self.streams:
            self.streams[1].close()
        self.streams = None


def code_of(body):
    try:
        answer = json.loads(body)
        return answer.get("code") or answer.get("error") if isinstance(answer, dict) else None
    except ValueError:
        return None


class Watch:
    """What goes on beside a flood: the other clients, and the server's memory."""

    def __init__(self, site, others):
        self.site, self.others, self.served, self.refused, self.mib = site, others, [], collections.Counter(), []

    async def clients(self):
        for number in range(1_000_000):
            begin, wire = time.monotonic(), Wire(self.site.port, ELSEWHERE)
            found = await wire.ask(login(*self.others[number % len(self.others)], close=True))
            wire.close()
            if found[0] == 200:
                self.served.append((time.monotonic() - begin) * 1e3)
            else:
                self.refused[found] += 1
            await asyncio.sleep(0.25)

    async def memory(self):
        while True:
            with open(f"/proc/{self.site.process.pid}/status") as status:
                kib = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
            self.mib.append(kib / 1024)
            await asyncio.sleep(0.2)

    def judge(self, name, found):
        third = max(1, len(self.mib) // 3)
        first, last = statistics.median(self.mib[third // 2:third + 1]), statistics.median(self.mib[-third:])
        slowest = max(self.served, default=0)
        print(f"{name}: {dict(found)}; others: {len(self.served)} served (slowest {slowest:.0f} ms), "
              f"{sum(self.refused.values())} refused; memory {first:.0f} to {last:.0f} MiB, most {max(self.mib):.0f}", flush=True)
        wrong = []
        if self.refused or not self.served:
            wrong.append(f"others were refused: {dict(self.refused)}")
        if last - first > FLAT_MIB:
            wrong.append("memory grew")
        unnamed = {key: count for key, count in found.items() if isinstance(key, tuple) and isinstance(key[0], int)
                   and key[0] >= 500 and key not in NAMED}
        if unnamed:
            wrong.append(f"answers that the contract does not name: {unnamed}")
        log = self.site.process.log.read_text(errors="replace")
        if "panicked" in log:
            wrong.append("the server panicked")
        if not self.site.process.alive():
            wrong.append("the server ended")
        return [f"{name}: {what}" for what in wrong]


# --- The floods. Each counts what became of its requests. ---


async def repeat(site, seconds, callers, make, found):
    """So many callers, each with a connection that it keeps."""
    end = time.monotonic() + seconds

    async def caller():
        wire = Wire(site.port)
        while time.monotonic() < end:
            found[await wire.ask(make())] += 1
        wire.close()

    await asyncio.gather(*(caller() for _ in range(callers)))


async def unknown_ids(site, seconds, found):
    await repeat(site, seconds, 50, lambda: login(uuid.uuid4(), "sk_live_" + random.randbytes(32).hex()), found)


async def guesses_at_one(site, seconds, found):
    await repeat(site, seconds, 300, lambda: login(site.agent, "sk_live_" + random.randbytes(32).hex()), found)


async def deep_pages(site, seconds, found):
    def ask():
        page = random.randint(1, EVENTS // 200)
        return (f"GET /api/v1/audit?limit=200&page={page} HTTP/1.1\r\nHost: idp.example\r\n"
                f"Authorization: Bearer {site.operator}\r\n\r\n").encode()
    await repeat(site, seconds, 20, ask, found)


async def silent_connections(site, seconds, found):
    end = time.monotonic() + seconds

    async def silent():
        while time.monotonic() < end:
            try:
                reader, writer = await asyncio.open_connection(HERE, site.port)
                found["opened"] += 1
                await asyncio.wait_for(reader.read(1), max(0.1, end - time.monotonic()))
                writer.close()
            except (OSError, asyncio.TimeoutError):
                await asyncio.sleep(0.05)

    await asyncio.gather(*(silent() for _ in range(1_200)))


async def unfinished_bodies(site, seconds, found):
    """HTTP/2: as many requests as a connection may have, none of which sends its body."""
    end = time.monotonic() + seconds
    fields = b"".join(header(*pair) for pair in (
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/api/v1/token"), (b":authority", b"idp.example"),
        (b"content-type", b"application/x-www-form-urlencoded"), (b"content-length", b"29")))
    opening = PREFACE + frame(4, 0, 0)
    opening += b"".join(frame(1, 4, stream, fields) for stream in range(1, 200, 2))

    async def connection():
        while time.monotonic() < end:
            try:
                reader, writer = await asyncio.open_connection(HERE, site.port)
                writer.write(opening)
                found["requests"] += 100
                while time.monotonic() < end and await asyncio.wait_for(reader.read(65536), max(0.1, end - time.monotonic())):
                    pass
                writer.close()
            except (OSError, asyncio.TimeoutError):
                await asyncio.sleep(0.05)

    await asyncio.gather(*(connection() for _ in range(20)))


async def pipelined_metrics(site, seconds, found):
    """As many connections as an address may have, each with many requests sent at once."""
    end, batch = time.monotonic() + seconds, 40
    asked = b"GET /metrics HTTP/1.1\r\nHost: idp.example\r\n\r\n" * batch

    async def connection():
        while time.monotonic() < end:
            try:
                reader, writer = await asyncio.open_connection(HERE, site.port)
                while time.monotonic() < end:
                    writer.write(asked)
                    for _ in range(batch):
                        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
                        await reader.readexactly(int(re.search(rb"(?i)content-length: (\d+)", head)[1]))
                        found[int(head[9:12])] += 1
                writer.close()
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
                await asyncio.sleep(0.05)

    await asyncio.gather(*(connection() for _ in range(1_200)))


async def malformed(site, _seconds, found):
    sound = requests(site)
    left = iter(range(MALFORMED))

    async def sender():
        for _ in left:
            try:
                reader, writer = await asyncio.open_connection(HERE, site.port)
                writer.write(spoilt(sound))
                writer.write_eof()
                answer = await asyncio.wait_for(reader.read(), 60)
                writer.close()
                status = int(answer[9:12]) if answer.startswith(b"HTTP/1.") else "other"
                found[(status, code_of(answer.partition(b"\r\n\r\n")[2])) if status != "other" and status >= 500 else status] += 1
            except (OSError, asyncio.TimeoutError) as error:
                found[type(error).__name__] += 1

    await asyncio.gather(*(sender() for _ in range(200)))


FLOODS = {
    "malformed requests": malformed, "unknown ids": unknown_ids, "silent connections": silent_connections,
    "unfinished bodies over HTTP/2": unfinished_bodies, "deep pages": deep_pages, "guesses at one Vault client": guesses_at_one,
    "pipelined metrics": pipelined_metrics,
}


async def one(site, others, name, flood, seconds):
    watch, found = Watch(site, others), collections.Counter()
    beside = [asyncio.create_task(watch.clients()), asyncio.create_task(watch.memory())]
    try:
        await flood(site, seconds, found)
        await asyncio.sleep(1)
    finally:
        for task in beside:
            task.cancel()
    for task in beside:
        if not task.cancelled() and task.done() and task.exception():
            raise task.exception()
    return watch.judge(name, found)


def run(world):
    seconds, only = float(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
    settings = on_postgres_and_vault(world, RATE_LIMIT_PER_MINUTE="100", LOG_LEVEL="warn")
    site = Site(world, "server", settings)
    others = [site.client(f"other-{number}") for number in range(8)]
    fill_audit(settings["DATABASE_URL"], site.agent)
    wrong = []
    for name, flood in FLOODS.items():
        if only in name:
            wrong += asyncio.run(one(site, others, name, flood, seconds))
    if wrong:
        raise Failed("\n".join(wrong))


def fill_audit(url, agent):
    rows = f"""insert into audit_events (event_id, agent_id, action, outcome, ip_address, user_agent, metadata, timestamp)
        select gen_random_uuid(), '{agent}', 'token.issued', 'success', '192.0.2.1', 'flood', '{{}}', now() - n * interval '1 second'
        from generate_series(1, {EVENTS}) n; analyze audit_events;"""
    done = subprocess.run([Path(os.environ["POSTGRES_FOLDER"]) / "psql", "-qX", "-v", "ON_ERROR_STOP=1", url], input=rows, text=True,
                          capture_output=True)
    if done.returncode:
        raise Failed(done.stderr)


if __name__ == "__main__":
    main("scripts/floods", run)
    print("every other client was served, memory is flat, nothing panicked")
