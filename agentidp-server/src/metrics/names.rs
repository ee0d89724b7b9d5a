//! What is counted, by its name, with what operators are told of it.

use metrics::Recorder;

pub(super) const TOKENS_ISSUED: &str = "agentidp_tokens_issued_total";
pub(super) const AGENTS_REGISTERED: &str = "agentidp_agents_registered_total";
pub(super) const UNKNOWN_CLIENTS: &str = "agentidp_unknown_client_failures_total";
pub(super) const HTTP_REQUESTS: &str = "agentidp_http_requests_total";
pub(super) const HTTP_DURATION: &str = "agentidp_http_request_duration_seconds";
pub(super) const RATE_LIMIT_REJECTIONS: &str = "agentidp_rate_limit_rejections_total";
pub(super) const VERIFICATIONS: &str = "agentidp_verifications_total";
pub(super) const VERIFICATION_DURATION: &str = "agentidp_verification_duration_seconds";
pub(super) const STALE_VERIFICATIONS: &str = "agentidp_stale_verifications_total";
pub(super) const DIGESTS_WAITING: &str = "agentidp_digests_waiting";
pub(super) const DIGEST_THREADS_BUSY: &str = "agentidp_digest_threads_busy";
pub(super) const CONNECTIONS: &str = "agentidp_connections";
pub(super) const CONNECTIONS_EVICTED: &str = "agentidp_connections_evicted_total";
pub(super) const REQUESTS_WAITING: &str = "agentidp_requests_waiting";
pub(super) const UPGRADES: &str = "agentidp_upgrades_total";
pub(super) const CREDENTIALS: &str = "agentidp_credentials";
pub(super) const UNCONFIGURED: &str = "agentidp_credentials_unconfigured";
pub(super) const EXPIRING: &str = "agentidp_credentials_expiring";
pub(super) const OVERLAPPING: &str = "agentidp_credentials_overlapping";
pub(super) const OVERLAPS_OVERDUE: &str = "agentidp_overlaps_overdue";
pub(super) const PURGE_BACKLOG: &str = "agentidp_purge_backlog";
pub(super) const BUILD_INFO: &str = "agentidp_build_info";
pub(super) const TOKENS_REFUSED: &str = "agentidp_tokens_refused_total";
pub(super) const DATABASE_UP: &str = "agentidp_database_up";
pub(super) const DATABASE_WRITABLE: &str = "agentidp_database_writable";
pub(super) const CLOCK_DIFFERENCE: &str = "agentidp_clock_difference_seconds";
pub(super) const VAULT_UP: &str = "agentidp_vault_up";
pub(super) const VAULT_TOKEN_TTL: &str = "agentidp_vault_token_ttl_seconds";
pub(super) const VAULT_TOKEN_ENDING: &str = "agentidp_vault_token_ending";
pub(super) const VAULT_TOKEN_RENEWALS: &str = "agentidp_vault_token_renewals_total";
pub(super) const VAULT_CALLS_WAITING: &str = "agentidp_vault_calls_waiting";
pub(super) const VAULT_BREAKER_OPEN: &str = "agentidp_vault_breaker_open";
pub(super) const AUDIT_LOST: &str = "agentidp_audit_events_lost_total";
pub(super) const ROW_CACHE: &str = "agentidp_row_cache_total";
pub(super) const LISTENER_UP: &str = "agentidp_listener_up";
pub(super) const LEDGER: &str = "agentidp_ledger_state";
pub(super) const DRIFT: &str = "agentidp_drift";
pub(super) const DB_DURATION: &str = "agentidp_db_query_duration_seconds";

const COUNTERS: [(&str, &str); 13] = [
    (TOKENS_ISSUED, "Token requests by outcome."),
    (AGENTS_REGISTERED, "Agent registrations by outcome."),
    (HTTP_REQUESTS, "Answered requests by method, route and status."),
    (
        UNKNOWN_CLIENTS,
        "Failed authentications of clients that do not exist, by whether the audit trail has them: of a flood it has samples.",
    ),
    (RATE_LIMIT_REJECTIONS, "Requests refused by the rate limit."),
    (TOKENS_REFUSED, "Bearer tokens that were refused, by cause."),
    (CONNECTIONS_EVICTED, "Connections closed because there were too many: the server did no work on them."),
    (VERIFICATIONS, "Secrets that were checked, by the backend that keeps them and the outcome."),
    (STALE_VERIFICATIONS, "Secrets accepted because they were proved before Vault became unavailable."),
    (
        UPGRADES,
        "Records that logins put into today's form, by the backend that kept the secret, the one that does now, and the outcome.",
    ),
    (VAULT_TOKEN_RENEWALS, "Times that the Vault token was renewed, replaced by another one, or neither."),
    (AUDIT_LOST, "Audit events that were never written although their request was answered (AUDIT_MODE=async)."),
    (
        ROW_CACHE,
        "Looks for a client's rows in memory: hit, miss, off while changes are not heard of, or anew for rows that were read \
         again before a client was refused.",
    ),
];

const HISTOGRAMS: [(&str, &str); 3] = [
    (HTTP_DURATION, "Time to answer a request, by method and route."),
    (VERIFICATION_DURATION, "Time to check a secret, by the backend that keeps it, waiting included."),
    (DB_DURATION, "Time of a database operation, as the caller sees it."),
];

const GAUGES: [(&str, &str); 21] = [
    (
        LEDGER,
        "1 for how the database and its folder in Vault stand to each other, 0 otherwise: deletions are carried out while \
         they agree, and stopped until an operator decides while they disagree.",
    ),
    (DIGESTS_WAITING, "Digests that wait for a thread, by backend."),
    (DIGEST_THREADS_BUSY, "Digest threads that compute, or rest after it, by backend."),
    (CONNECTIONS, "Open connections."),
    (REQUESTS_WAITING, "Requests that wait for a place."),
    (CREDENTIALS, "Active credentials by the backend that keeps their secret, counted every five minutes."),
    (
        UNCONFIGURED,
        "Active credentials that need a backend which is not configured, by backend, counted with the others: they get no \
         tokens.",
    ),
    (
        EXPIRING,
        "Active credentials that expire within seven days, by whether they were used within a day, counted with the others.",
    ),
    (
        OVERLAPPING,
        "Active credentials whose previous secret still works, by whether it was used within a day, counted with the others.",
    ),
    (
        OVERLAPS_OVERDUE,
        "Active credentials whose overlap END_IDLE_OVERLAPS should have ended, since nobody has used the previous secret for \
         longer; counted with the others.",
    ),
    (PURGE_BACKLOG, "Secrets that Vault has still to forget: due now, or later."),
    (BUILD_INFO, "Always 1; the label is the version."),
    (DATABASE_UP, "1 while the database answers, 0 otherwise."),
    (DATABASE_WRITABLE, "1 while the database takes writes, 0 otherwise: then this server is not ready."),
    (
        CLOCK_DIFFERENCE,
        "By how much this machine's clock is ahead of the database's, which counts; negative when behind.",
    ),
    (LISTENER_UP, "1 while changes of rows are heard of, 0 otherwise: then each request reads its rows."),
    (VAULT_UP, "1 while Vault answers and accepts this server's token, 0 otherwise."),
    (
        VAULT_TOKEN_ENDING,
        "1 while less than a third of the Vault token's life is left, 0 otherwise: renewing it fails.",
    ),
    (VAULT_CALLS_WAITING, "Calls to Vault that wait for their turn, because as many as may be are under way."),
    (VAULT_BREAKER_OPEN, "1 while Vault is not asked because it could not be, 0 otherwise."),
    (DRIFT, "Differences between the rows and Vault that the last comparison found, by kind."),
];

/// Says of each what it is.
pub(super) fn describe(recorder: &impl Recorder) {
    for (name, text) in COUNTERS {
        recorder.describe_counter(name.into(), None, text.into());
    }
    for (name, text) in HISTOGRAMS {
        recorder.describe_histogram(name.into(), None, text.into());
    }
    for (name, text) in GAUGES {
        recorder.describe_gauge(name.into(), None, text.into());
    }
}
