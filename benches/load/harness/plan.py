"""What is measured: the rows, in the order of a round, and the figures that are computed from them."""

from dataclasses import dataclass

CONNECTIONS = (1, 8, 64)
AT = 64  # the connections at which figures are compared

# Agents by number of credentials, in each kind of storage. Every credential of a warm server is proved before it is
# measured, which for twenty digests takes its time: hence few of those.
GROUPS = {1: 128, 5: 6, 20: 3}
FLOOD_AGENTS = 8
WORKING_SET = 1_000
AGENTS = {"few": 1_000, "many": 1_000_000}
HASHED = 100_000  # of the many, at most; the rest have keyed digests
KEYED_FIRST = 10_000_001  # their numbers
STARTING = 10_000  # clients that come back after a restart
STARTING_FIRST = 20_000_001
ROLES = 128


@dataclass(frozen=True)
class Row:
    key: str
    title: str
    server: str
    clients: str  # a group's file, or `working` or `every` for numbered agents
    connections: tuple = CONNECTIONS
    slow: bool = False  # tens of requests a second: measured for longer
    expect: int = None
    kind: str = "token"
    section: str = "main"
    long_warm_up: bool = False  # left out of a quick run
    hits: str = "–"  # what of the requests was decided in memory


PROVED = "100 %"

ROWS = (
    Row("hello", "hello-world hyper", "hello", "bcrypt1"),
    Row("ceiling-RS256", "ceiling: RS256 signer and hyper", "ceiling-RS256", "bcrypt1"),
    Row("ceiling-EdDSA", "ceiling: EdDSA signer and hyper", "ceiling-EdDSA", "bcrypt1"),
    Row("node-bcrypt", "Node stack, bcrypt, RS256", "node", "bcrypt1", slow=True),
    Row("node-vault", "Node stack, Vault, RS256", "node", "vault1"),
    Row("python-bcrypt", "Python stack, bcrypt, RS256", "python", "bcrypt1", slow=True),
    Row("python-vault", "Python stack, Vault, RS256", "python", "vault1"),
    Row("oidc", "`oidc-provider`, plain secrets in memory, RS256", "oidc-provider", "bcrypt1"),
    Row("approle", "OpenBao AppRole, batch tokens", "approle", "approle", kind="approle"),
    Row("cold-bcrypt", "ours, bcrypt, cold, RS256", "cold", "bcrypt1", slow=True, hits="0 %"),
    Row("cold-vault", "ours, Vault, uncached, RS256", "cold", "vault1", hits="0 %"),
    Row("bcrypt-RS256", "ours, bcrypt, warm, RS256", "rs256", "bcrypt1", hits=PROVED),
    Row("bcrypt-EdDSA", "ours, bcrypt, warm, EdDSA", "eddsa", "bcrypt1", hits=PROVED),
    Row("bcrypt-async", "ours, bcrypt, warm, EdDSA, audit async", "eddsa-async", "bcrypt1", hits=PROVED),
    Row("vault-RS256", "ours, Vault, warm, RS256", "rs256", "vault1", hits=PROVED),
    Row("vault-EdDSA", "ours, Vault, warm, EdDSA", "eddsa", "vault1", hits=PROVED),
    Row("keyed-RS256", "ours, keyed digest, RS256", "keyed-rs256", "keyed1", hits="not needed"),
    Row("keyed-EdDSA", "ours, keyed digest, EdDSA", "keyed-eddsa", "keyed1", hits="not needed"),
    *(Row(f"credentials-{what}-{count}", f"{count} credential{'s' if count > 1 else ''}, {what} secret, warm", "eddsa",
          f"{prefix}bcrypt{count}", (AT,), expect=expect, section="credentials", hits=PROVED)
      for what, prefix, expect in (("right", "", None), ("wrong", "wrong-", 401)) for count in GROUPS),
    *(Row(f"selector-{what}-{count}", f"{count} credential{'s' if count > 1 else ''}, {what} secret, cold, selector",
          "selector", f"{prefix}selected{count}", (AT,), slow=not prefix, expect=expect, section="credentials", hits="0 %")
      for what, prefix, expect in (("right", "", None), ("wrong", "wrong-", 401)) for count in (1, 20)),
    *(Row(f"agents-{clients}-{size}", f"{AGENTS[size]:,} agents, {what}", f"agents-{size}", clients, (AT,),
          section="agents", hits=hits, long_warm_up=(clients, size) == ("every", "many"))
      for clients, what, hits in (
          ("working", f"{WORKING_SET:,} of them at work, bcrypt, warm", PROVED),
          ("every", "all of them at random, keyed digest", "not needed"))
      for size in AGENTS),
    *(Row(f"replicas-{count}", f"{count} replica{'s' if count > 1 else ''}, bcrypt, warm, EdDSA", server, "bcrypt1", (AT,),
          section="replicas", hits=PROVED)
      for count, server in ((1, "eddsa"), (3, "eddsa-3"))),
)


@dataclass(frozen=True)
class Ratio:
    """Row `over` row, the median of the rounds' ratios at `AT` connections."""

    what: str
    row: str
    over: str
    least: float
    least_by_cpu: float = None


RATIOS = (
    Ratio("token, warm, EdDSA, durable audit / EdDSA ceiling", "bcrypt-EdDSA", "ceiling-EdDSA", 0.5, 0.6),
    Ratio("token, warm, EdDSA, audit async / EdDSA ceiling", "bcrypt-async", "ceiling-EdDSA", 0.8),
    Ratio("token, warm, RS256, durable audit / RS256 ceiling", "bcrypt-RS256", "ceiling-RS256", 0.85),
    Ratio("cold bcrypt / Node stack", "cold-bcrypt", "node-bcrypt", 2.5),
    Ratio("bcrypt, warm, RS256 / Node stack", "bcrypt-RS256", "node-bcrypt", 100),
    Ratio("bcrypt, warm, RS256 / Python stack", "bcrypt-RS256", "python-bcrypt", 150),
    Ratio("bcrypt, warm, EdDSA / Node stack", "bcrypt-EdDSA", "node-bcrypt", 900),
    Ratio("bcrypt, warm, EdDSA / Python stack", "bcrypt-EdDSA", "python-bcrypt", 500),
    Ratio("Vault, uncached / Node stack", "cold-vault", "node-vault", 2.2),
    Ratio("Vault, warm, RS256 / Node stack", "vault-RS256", "node-vault", 6),
    Ratio("Vault, warm, EdDSA / Node stack", "vault-EdDSA", "node-vault", 25),
    Ratio("bcrypt, warm, RS256 / `oidc-provider`", "bcrypt-RS256", "oidc", 1.5),
    Ratio("bcrypt, warm, EdDSA / `oidc-provider`", "bcrypt-EdDSA", "oidc", 9),
    Ratio("bcrypt, warm, EdDSA / AppRole batch login", "bcrypt-EdDSA", "approle", 5),
    Ratio("20 credentials / 1, warm, right secret", "credentials-right-20", "credentials-right-1", 0.85),
    Ratio("20 credentials / 1, warm, wrong secret", "credentials-wrong-20", "credentials-wrong-1", 0.85),
    Ratio("20 credentials / 1, cold, selector, right secret", "selector-right-20", "selector-right-1", 0.85),
    Ratio("20 credentials / 1, cold, selector, wrong secret", "selector-wrong-20", "selector-wrong-1", 0.85),
    Ratio("10⁶ agents / 10³, bcrypt, warm", "agents-working-many", "agents-working-few", 0.85),
    Ratio("10⁶ agents / 10³, all at random", "agents-every-many", "agents-every-few", 0.85),
)
