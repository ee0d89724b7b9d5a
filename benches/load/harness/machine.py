"""What a run was measured on, and with what."""

import json
import os
import platform
import re
import subprocess
import time
from pathlib import Path

from world import ROOT


def machine():
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    system = re.search(r'^PRETTY_NAME="(.*)"$', Path("/etc/os-release").read_text(), re.M)
    memory_kib = int(re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(), re.M).group(1))
    return {
        "cpu": cpu.group(1) if cpu else platform.machine(), "cores": os.cpu_count(), "memory_gib": round(memory_kib / 2**20),
        "system": system.group(1) if system else "Linux", "kernel": platform.release().split("-")[0],
        "date": time.strftime("%Y-%m-%d"),
    }


def versions(postgres, kit):
    first = lambda *command: subprocess.run(command, capture_output=True, text=True).stdout.strip().split("\n")[0]
    packages = {name: json.loads((kit.peers / name / "package.json").read_text())["dependencies"] for name in ("node", "oidc-provider")}
    python = (Path(__file__).parent.parent / "peers/python/requirements.txt").read_text()
    return {
        "commit": first("git", "-C", ROOT, "rev-parse", "--short", "HEAD"), "rustc": first("rustc", "--version").split()[1],
        "PostgreSQL": postgres.psql("postgres", "show server_version").split()[0],
        "OpenBao": first(os.environ["BAO"], "version").split()[1].lstrip("v"),
        "node": first("node", "--version").lstrip("v"), "Python": platform.python_version(),
        "node_packages": {name: version for each in packages.values() for name, version in each.items()},
        "python_packages": {name: version for name, version in re.findall(r"^(fastapi|uvicorn|uvloop|asyncpg|bcrypt|hvac|PyJWT)==(\S+)$", python, re.M)},
    }
