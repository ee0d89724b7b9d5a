"""Requests as bytes, sound and spoilt."""

import random
import uuid

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def form_request(form, path="/api/v1/token", close=False):
    head = "Connection: close\r\n" if close else ""
    return (f"POST {path} HTTP/1.1\r\nHost: idp.example\r\nContent-Type: application/x-www-form-urlencoded\r\n{head}"
            f"Content-Length: {len(form)}\r\n\r\n{form}").encode()


def login(client, secret, close=False):
    return form_request(f"grant_type=client_credentials&client_id={client}&client_secret={secret}", close=close)


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def header(name, value):
    """A literal, without indexing and without Huffman's code (RFC 7541 §6.2.2)."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def requests(site):
    """One of each kind, all of them sound."""
    bearer = f"Authorization: Bearer {site.operator}\r\n"
    body = '{"email":"a@b.co","agentType":"custom","version":"1.0.0","capabilities":["a:b"],"owner":"o","deploymentEnv":"staging"}'
    return [
        login(site.agent, site.secret), form_request("token=a.b.c", "/api/v1/token/introspect"),
        form_request("token=a.b.c", "/api/v1/token/revoke"),
        f"POST /api/v1/agents HTTP/1.1\r\nHost: a\r\n{bearer}Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}".encode(),
        f"GET /api/v1/audit?page=1&limit=5&fromDate=2026-01-01 HTTP/1.1\r\nHost: a\r\n{bearer}\r\n".encode(),
        f"PATCH /api/v1/agents/{uuid.uuid4()} HTTP/1.1\r\nHost: a\r\n{bearer}Transfer-Encoding: chunked\r\n"
        f"Content-Type: application/json\r\n\r\n5\r\n{{\"own\r\n0\r\n\r\n".encode(),
        PREFACE + frame(4, 0, 0) + frame(1, 5, 1, header(b":method", b"GET")) + frame(0, 1, 1),
    ]


def spoilt(sound):
    """A request with one thing wrong, or with many."""
    text = bytearray(random.choice(sound))
    for _ in range(random.choice((1, 1, 2, 8))):
        at = random.randrange(len(text))
        how = random.randrange(5)
        if how == 0:
            text[at] = random.randrange(256)
        elif how == 1:
            del text[at:at + random.randrange(1, 20)]
        elif how == 2:
            text[at:at] = random.randbytes(random.randrange(1, 20))
        elif how == 3:
            text[at:at] = text[:random.randrange(1, 60)]
        else:
            del text[at:]
        if not text:
            return b"\0"
    return bytes(text)
