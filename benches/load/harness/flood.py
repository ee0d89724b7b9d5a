"""An open loop of token requests at a fixed rate, each on a connection of its own: what attackers do not wait for.

flood.py URL CLIENTS RATE SECONDS LEAVE_MS   prints what became of them as JSON. LEAVE_MS over 0: the client hangs up so
long after it has asked.
"""

import asyncio
import collections
import itertools
import json
import statistics
import sys
import time
from urllib.parse import urlsplit

PATIENCE = 30


def requests(host, path, file):
    for line in open(file):
        client, secret = line.split()
        form = f"grant_type=client_credentials&client_id={client}&client_secret={secret}"
        yield (f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
               f"Connection: close\r\nContent-Length: {len(form)}\r\n\r\n{form}").encode()


async def ask(address, request, leave, found):
    begin, writer = time.monotonic(), None
    try:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(request)
        if leave:
            await asyncio.sleep(leave)
            found["left"] += 1
            return
        answer = (await asyncio.wait_for(reader.read(), PATIENCE)).decode("latin-1")
        found[answer.split(" ", 2)[1]] += 1
        found["Retry-After"] += "\r\nretry-after:" in answer.lower()
        found["ms"].append((time.monotonic() - begin) * 1e3)
    except (OSError, IndexError, asyncio.TimeoutError) as error:
        found[type(error).__name__] += 1
    finally:
        if writer:
            writer.close()


async def flood(url, file, rate, seconds, leave):
    parts = urlsplit(url)
    each = itertools.cycle(list(requests(parts.netloc, parts.path, file)))
    found, tasks, begin = collections.Counter(), set(), time.monotonic()
    found["ms"] = []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, begin + number / rate - time.monotonic()))
        task = asyncio.create_task(ask((parts.hostname, parts.port), next(each), leave, found))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    times = found.pop("ms")
    return {"asked": int(rate * seconds), **found, "p50_ms": statistics.median(times) if times else None}


if __name__ == "__main__":
    address, clients, a_second, duration, leave_ms = sys.argv[1:]
    print(json.dumps(asyncio.run(flood(address, clients, float(a_second), float(duration), float(leave_ms) / 1e3))))
