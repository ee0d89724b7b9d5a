"""Everything a run starts: processes with their logs in a folder of the run's own, all gone when it ends."""

import ctypes
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOAD = HERE.parent
ROOT = LOAD.parent.parent
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


class Failed(Exception):
    """Something could not be started or prepared; the text says what and why."""


class Process:
    def __init__(self, name, popen, log, end):
        self.name, self.popen, self.log, self.end = name, popen, log, end

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def tail(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])

    def stop(self):
        """Asks, waits, and ends it for good; by its own id only."""
        if self.alive():
            self.popen.send_signal(self.end)
            try:
                self.popen.wait(15)
            except subprocess.TimeoutExpired:
                self.popen.kill()
        self.popen.wait()


class World:
    """The run's folder and its processes. Use it in a `with`."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="agentidp-load-"))
        self.folder.chmod(0o755)  # PostgreSQL runs as another user
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not stop the cleaning up
        for process in reversed(self.processes):
            process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, name, command, environment=None, end=signal.SIGTERM, **options):
        """Starts a command in a session of its own, so that Ctrl-C reaches us alone; it ends with us, however we end."""

        def ends_with_us():
            LIBC.prctl(PR_SET_PDEATHSIG, int(end))

        log = self.folder / f"{name}.log"
        with log.open("w") as out:
            popen = subprocess.Popen(
                [str(part) for part in command], env={**bare_environment(), **(environment or {})}, stdin=subprocess.DEVNULL,
                stdout=out, stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=ends_with_us,
                cwd=options.pop("cwd", self.folder), **options)
        process = Process(name, popen, log, end)
        self.processes.append(process)
        return process

    def stop(self, process):
        process.stop()
        self.processes.remove(process)

    def wait(self, process, ready, seconds=60):
        """Waits until `ready` is true; a process that has ended, or is too slow, is an error with its last lines."""
        end = time.monotonic() + seconds
        while not ready():
            if not process.alive() or time.monotonic() > end:
                raise Failed(f"{process.name} did not start:\n{process.tail()}")
            time.sleep(0.05)
        return process


def bare_environment():
    """Ours without what could change what is measured: no proxies, no settings of servers."""
    return {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def call(method, url, body=None, headers=None, timeout=60):
    """An HTTP request; answers the status and the JSON, `None` where there is none."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})}, method=method)
    try:
        with OPENER.open(request, timeout=timeout) as answer:
            return answer.status, parsed(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, parsed(error.read())


def parsed(text):
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text.decode(errors="replace")


OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Postgres:
    """A cluster of the run's own: durable as in production, and a little memory."""

    SETTINGS = {
        "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "300", "fsync": "on",
        "synchronous_commit": "on", "full_page_writes": "on", "shared_buffers": "512MB", "max_wal_size": "4GB",
    }

    def __init__(self, world):
        self.folder = Path(os.environ["POSTGRES_FOLDER"])
        self.port = free_port()
        data = world.folder / "postgres"
        data.mkdir()
        user = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            entry = next(entry for name in ("postgres", "nobody") for entry in [known(name)] if entry)
            os.chown(data, entry.pw_uid, entry.pw_gid)
            user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        made = subprocess.run(
            [self.folder / "initdb", "-D", data, "-U", "agentidp", "-A", "trust", "-E", "UTF8", "--no-locale"],
            env=bare_environment(), cwd=data, capture_output=True, text=True, **user)
        if made.returncode:
            raise Failed(f"initdb failed:\n{made.stderr}")
        settings = {"port": self.port, **self.SETTINGS}
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.process = world.start(
            "postgres", [self.folder / "postgres", "-D", data, *flags], end=signal.SIGQUIT, cwd=data, **user)
        world.wait(self.process, lambda: self.answers(str(data)))

    def answers(self, data):
        return self.psql("postgres", "show data_directory", check=False).strip() == data

    def url(self, database):
        return f"postgres://agentidp@127.0.0.1:{self.port}/{database}"

    def psql(self, database, sql, check=True):
        done = subprocess.run(
            [self.folder / "psql", "-qAtX", "-v", "ON_ERROR_STOP=1", self.url(database)], input=sql, env=bare_environment(),
            capture_output=True, text=True)
        if check and done.returncode:
            raise Failed(f"PostgreSQL refused: {done.stderr.strip()}")
        return done.stdout


def known(user):
    try:
        return pwd.getpwnam(user)
    except KeyError:
        return None


class Bao:
    """An OpenBao dev server: in memory, unsealed, with KV version 2 at `secret`."""

    POLICY = """
path "secret/data/agentidp/*" { capabilities = ["create", "read", "update", "delete"] }
path "secret/metadata/agentidp/*" { capabilities = ["delete"] }
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
"""

    def __init__(self, world, name):
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.root = "root-" + os.urandom(12).hex()
        self.process = world.start(
            name, [os.environ["BAO"], "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={self.root}",
                   f"-dev-listen-address=127.0.0.1:{self.port}"], {"HOME": str(world.folder)})
        world.wait(self.process, self.answers)

    def answers(self):
        try:
            return self.call("GET", "auth/token/lookup-self")[0] == 200
        except OSError:
            return False

    def call(self, method, path, body=None):
        return call(method, f"{self.address}/v1/{path}", body, {"X-Vault-Token": self.root})

    def must(self, method, path, body=None):
        status, answer = self.call(method, path, body)
        if status >= 300:
            raise Failed(f"OpenBao refused {method} {path}: {status} {answer}")
        return answer

    def least_privilege_token(self):
        """As the guide has the fast one: periodic, an orphan, with the documented policies in place of the `default` one."""
        self.must("PUT", "sys/policies/acl/agentidp", {"policy": self.POLICY})
        made = self.must("POST", "auth/token/create-orphan", {"period": "768h", "policies": ["agentidp"], "no_default_policy": True})
        return made["auth"]["client_token"]
