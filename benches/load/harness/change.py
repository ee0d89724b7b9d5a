"""What an acknowledged change takes: rotations, one after the other, by a server alone and beside two idle replicas, which all obey
it before it is answered."""

import statistics
import time

import seed
from world import Failed, call

CHANGES = 200


def run(kit, token, name, replicas):
    """The median and the 99th percentile, in milliseconds. Digests are keyed, so that none is waited for."""
    server = kit.ours(name, replicas=replicas, keyed=True, vault=False, SECRET_BACKEND="keyed-digest")
    seeder = seed.Seeder(server.origin, token, kit.world.folder)
    agent = seeder.must("POST", "/agents", {**seed.AGENT, "email": f"{name}@agents.example"})["agentId"]
    credential = seeder.must("POST", f"/agents/{agent}/credentials")["credentialId"]
    times = []
    for _ in range(CHANGES):
        begin = time.monotonic()
        status, told = call("POST", f"{seeder.api}/agents/{agent}/credentials/{credential}/rotate", {}, seeder.headers)
        times.append((time.monotonic() - begin) * 1e3)
        if status != 200:
            raise Failed(f"a rotation was refused: {status} {told}")
    for process in server.processes:
        kit.world.stop(process)
    return {"p50_ms": statistics.median(times), "p99_ms": statistics.quantiles(times, n=100)[98]}
