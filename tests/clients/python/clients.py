"""Authlib, requests-oauthlib and PyJWT against a server, whose address and client the environment names."""

import os

import jwt
import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from oauthlib.oauth2 import BackendApplicationClient, InvalidClientError
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

ISSUER, CLIENT_ID, CLIENT_SECRET, PROFILE = (
    os.environ[name] for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "PROFILE"))
RESOURCE = "https://api.example/mcp"
WRONG = "sk_live_wrong"


def say(what):
    print(f"  {what}", flush=True)


def refused(kind, ask):
    """Asks, and wants to be refused as an invalid client."""
    try:
        ask()
    except kind as error:
        assert getattr(error, "error", None) == "invalid_client", error
        return
    raise AssertionError("a wrong secret was accepted")


METADATA = requests.get(f"{ISSUER}/.well-known/oauth-authorization-server", timeout=10).json()
assert METADATA["issuer"] == ISSUER
TOKEN, INTROSPECT, REVOKE = (METADATA[f"{name}_endpoint"] for name in ("token", "introspection", "revocation"))


def authlib(method):
    def session(secret):
        return AuthlibSession(CLIENT_ID, secret, token_endpoint_auth_method=method, revocation_endpoint_auth_method=method)

    with session(CLIENT_SECRET) as client:
        granted = client.fetch_token(TOKEN, grant_type="client_credentials", scope="agents:read")
        assert granted["scope"] == "agents:read"
        agent = client.get(f"{ISSUER}/api/v1/agents/{CLIENT_ID}")  # the session sends the token
        assert agent.json()["agentId"] == CLIENT_ID, agent.text
        token = granted["access_token"]
        assert client.introspect_token(INTROSPECT, token=token).json()["active"] is True
        assert client.revoke_token(REVOKE, token=token).status_code == 200
        assert client.introspect_token(INTROSPECT, token=token).json() == {"active": False}
    with session(WRONG) as client:
        refused(OAuthError, lambda: client.fetch_token(TOKEN, grant_type="client_credentials"))
        for answer in client.introspect_token(INTROSPECT, token=token), client.revoke_token(REVOKE, token=token):
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), answer.text
    say(f"Authlib, {method}: metadata, token, introspection, revocation, refusals")


def requests_oauthlib(name):
    def fetch(session, secret):
        if name == "basic":
            return session.fetch_token(TOKEN, auth=HTTPBasicAuth(CLIENT_ID, secret))
        return session.fetch_token(TOKEN, client_id=CLIENT_ID, client_secret=secret, include_client_id=True)

    with OAuth2Session(client=BackendApplicationClient(CLIENT_ID, scope=["agents:read", "tokens:read"])) as session:
        token = fetch(session, CLIENT_SECRET)["access_token"]
        # The session sends the token as a bearer's, which has the scope to introspect any.
        assert session.post(INTROSPECT, data={"token": token}).json()["active"] is True
        own = {} if name == "basic" else {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        auth = HTTPBasicAuth(CLIENT_ID, CLIENT_SECRET) if name == "basic" else None
        url, headers, body = session._client.prepare_token_revocation_request(
            REVOKE.replace("http:", "https:"), token, token_type_hint="access_token", **own)
        done = requests.post(url.replace("https:", "http:"), headers=headers, data=body, auth=auth, timeout=10)
        assert done.status_code == 200, done.text
        assert session.post(INTROSPECT, data={"token": token}).status_code == 401  # nothing can be done with it
    with OAuth2Session(client=BackendApplicationClient(CLIENT_ID)) as session:
        refused(InvalidClientError, lambda: fetch(session, WRONG))
    say(f"requests-oauthlib, {name}: token, introspection as a bearer, revocation, refusal")


def pyjwt():
    form = {"grant_type": "client_credentials", "resource": [RESOURCE, "urn:example:other"]}
    token = requests.post(TOKEN, data=form, auth=(CLIENT_ID, CLIENT_SECRET), timeout=10).json()["access_token"]
    key = jwt.PyJWKClient(METADATA["jwks_uri"]).get_signing_key_from_jwt(token)
    needed = {"require": ["exp", "iat", "iss", "sub", "aud", "jti"]}
    claims = jwt.decode(token, key, algorithms=["RS256"], issuer=ISSUER, audience=RESOURCE, options=needed)
    assert (claims["sub"], claims["aud"]) == (CLIENT_ID, form["resource"]), claims
    assert jwt.get_unverified_header(token)["typ"] == ("at+jwt" if PROFILE == "rfc9068" else "JWT")
    for wrong in {"issuer": "https://other.example", "audience": RESOURCE}, {"issuer": ISSUER, "audience": "urn:no"}:
        try:
            jwt.decode(token, key, algorithms=["RS256"], **wrong)
        except jwt.InvalidTokenError:
            continue
        raise AssertionError(f"accepted for {wrong}")
    say("PyJWT: keys, signature, issuer, several audiences")


for each in "client_secret_basic", "client_secret_post":
    authlib(each)
for each in "basic", "body":
    requests_oauthlib(each)
pyjwt()
