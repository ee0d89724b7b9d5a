"""Run by `scripts/interop`: drives a server and checks what it stores and issues with other libraries."""

import json
import os
import pathlib
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import bcrypt
import jwt

SERVER, NODE_FOLDER = sys.argv[1:]


def node(library, call, *args):
    """The result of one call of a Node library, as JSON."""
    script = f"console.log(JSON.stringify(require('{library}').{call}(...process.argv.slice(1).map(JSON.parse))))"
    command = ["node", "-e", script, "--", *map(json.dumps, args)]
    return json.loads(subprocess.run(command, cwd=NODE_FOLDER, check=True, capture_output=True).stdout)


LIBRARIES = {
    "Python bcrypt": (
        lambda secret: bcrypt.hashpw(secret.encode(), bcrypt.gensalt(10)).decode(),
        lambda secret, digest: bcrypt.checkpw(secret.encode(), digest.encode()),
    ),
    "Node bcrypt": (
        lambda secret: node("bcrypt", "hashSync", secret, 10),
        lambda secret, digest: node("bcrypt", "compareSync", secret, digest),
    ),
    "Node bcryptjs": (
        lambda secret: node("bcryptjs", "hashSync", secret, 10),
        lambda secret, digest: node("bcryptjs", "compareSync", secret, digest),
    ),
}


def main():
    for algorithm in ["RS256", "ES256", "EdDSA"]:
        run_with(algorithm)


def run_with(algorithm):
    with tempfile.TemporaryDirectory(prefix="agentidp-interop-") as folder:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = {"PATH": os.environ["PATH"], "PORT": str(port), "AGENTIDP_DATA_DIR": folder}
        settings["JWT_ALGORITHM"] = algorithm
        with open(f"{folder}/log", "w") as log:
            server = subprocess.Popen([SERVER], cwd=folder, env=settings, stdout=log, stderr=log)
        try:
            check(f"http://127.0.0.1:{port}", pathlib.Path(folder), settings, server)
        except BaseException:
            print(pathlib.Path(folder, "log").read_text(), file=sys.stderr)
            raise
        finally:
            server.terminate()
            server.wait()


def check(origin, folder, settings, server):
    wait_for(f"{origin}/health", server)
    run = subprocess.run([SERVER, "operator-token"], cwd=folder, env=settings, check=True, capture_output=True, text=True)
    operator = run.stdout.strip()
    agent = post(
        f"{origin}/api/v1/agents",
        operator,
        {
            "email": "interop@example.com",
            "agentType": "custom",
            "version": "1.0.0",
            "capabilities": ["tokens:read"],
            "owner": "interop",
            "deploymentEnv": "development",
        },
    )["agentId"]
    secret = post(f"{origin}/api/v1/agents/{agent}/credentials", operator, {})["clientSecret"]
    database = sqlite3.connect(next(f for f in folder.iterdir() if f.read_bytes()[:15] == b"SQLite format 3"))
    wrong = secret[:-1] + ("0" if secret[-1] != "0" else "1")

    digest = database.execute("SELECT secret_hash FROM credentials").fetchone()[0]
    for name, (_, verify) in LIBRARIES.items():
        assert verify(secret, digest) and not verify(wrong, digest), f"{name} on a digest of ours"
        print(f"our digest verifies with {name}")

    for name, (make, _) in LIBRARIES.items():
        with database:
            database.execute("UPDATE credentials SET secret_hash = ?", [make(secret)])
        assert token(origin, agent, wrong)[0] == 401, f"a wrong secret on a digest of {name}"
        status, answer = token(origin, agent, secret)
        assert status == 200, f"a digest of {name}: {status} {answer}"
        print(f"a digest of {name} gets a token")

    access_token = answer["access_token"]
    key = jwt.PyJWKClient(f"{origin}/.well-known/jwks.json").get_signing_key_from_jwt(access_token)
    required = ["sub", "client_id", "scope", "jti", "iat", "exp"]
    claims = jwt.decode(access_token, key, algorithms=[settings["JWT_ALGORITHM"]], options={"require": required})
    assert claims["sub"] == claims["client_id"] == agent, claims
    assert claims["exp"] - claims["iat"] == answer["expires_in"], claims
    print(f"the {settings['JWT_ALGORITHM']} token verifies with PyJWT through the JWKS address")


def token(origin, agent, secret):
    form = {"grant_type": "client_credentials", "client_id": agent, "client_secret": secret}
    request = urllib.request.Request(f"{origin}/api/v1/token", urllib.parse.urlencode(form).encode())
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def post(url, bearer, body):
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)) as answer:
        return json.load(answer)


def wait_for(url, server):
    for _ in range(100):
        assert server.poll() is None, "the server has ended"
        try:
            with urllib.request.urlopen(url):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


main()
