"""The token endpoint as one writes it with FastAPI, asyncpg, bcrypt, hvac and PyJWT, over this project's tables."""

import datetime
import hmac
import os
import time
import uuid
from contextlib import asynccontextmanager

import asyncpg
import bcrypt
import hvac
import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fastapi import FastAPI, Form
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

with open(os.environ["JWT_KEY_FILE"], "rb") as file:
    KEY = load_pem_private_key(file.read(), None)
ISSUER = os.environ["ISSUER"]
state = {}


@asynccontextmanager
async def lifespan(_app):
    state["vault"] = hvac.Client(url=os.environ["VAULT_ADDR"], token=os.environ["VAULT_TOKEN"])
    async with asyncpg.create_pool(os.environ["PGURL"], min_size=2, max_size=20) as state["pool"]:
        yield


app = FastAPI(lifespan=lifespan)


async def matches(credential, secret):
    if credential["vault_path"] is None:
        return await run_in_threadpool(bcrypt.checkpw, secret.encode(), credential["secret_hash"].encode())
    answer = await run_in_threadpool(state["vault"].read, credential["vault_path"])
    return hmac.compare_digest(answer["data"]["data"]["clientSecret"].encode(), secret.encode())


async def authenticate(agent_id, secret):
    async with state["pool"].acquire() as connection:
        agent = await connection.fetchrow("select status from agents where agent_id = $1", agent_id)
        credentials = await connection.fetch(
            "select secret_hash, vault_path, expires_at from credentials where client_id = $1 and status = 'active'",
            agent_id)
    if agent is None or agent["status"] != "active":
        return False
    now = datetime.datetime.now(datetime.timezone.utc)
    for credential in credentials:
        if credential["expires_at"] is not None and credential["expires_at"] < now:
            continue
        if await matches(credential, secret):
            return True
    return False


def denied(status, error):
    return JSONResponse({"error": error}, status_code=status)


@app.post("/api/v1/token")
async def token(grant_type: str = Form(), client_id: str = Form(), client_secret: str = Form(), scope: str = Form("")):
    if grant_type != "client_credentials":
        return denied(400, "unsupported_grant_type")
    try:
        agent_id = uuid.UUID(client_id)
    except ValueError:
        return denied(401, "invalid_client")
    if not await authenticate(agent_id, client_secret):
        return denied(401, "invalid_client")
    now = int(time.time())
    claims = {"iss": ISSUER, "sub": str(agent_id), "client_id": str(agent_id), "scope": scope, "jti": str(uuid.uuid4()),
              "iat": now, "exp": now + 3600}
    return JSONResponse(
        {"access_token": jwt.encode(claims, KEY, algorithm="RS256", headers={"kid": "k1"}), "token_type": "Bearer",
         "expires_in": 3600, "scope": scope},
        headers={"Cache-Control": "no-store", "Pragma": "no-cache"})
