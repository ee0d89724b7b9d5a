//! Settings that somebody misspelt: without a warning they would be ignored.

/// Every setting. A test holds the list against what is asked for.
const SETTINGS: &[&str] = &[
    "AGENTIDP_DATA_DIR",
    "AGENT_LIMIT",
    "AUDIT_MODE",
    "BCRYPT_COST",
    "CORS_ORIGIN",
    "CREDENTIAL_LIMIT",
    "DATABASE_URL",
    "DIGEST_FLOOR",
    "END_IDLE_OVERLAPS",
    "FAILURE_LIMIT_PER_MINUTE",
    "HOST",
    "IDLE_TIMEOUT",
    "INTROSPECTION_RATE_LIMIT_PER_MINUTE",
    "JWT_ACCEPTED_KEY_FILES",
    "JWT_ALGORITHM",
    "JWT_ISSUER",
    "JWT_PRIVATE_KEY",
    "JWT_PRIVATE_KEY_FILE",
    "LOG_FORMAT",
    "LOG_LEVEL",
    "MAC_KEYS",
    "MAC_KEYS_FILE",
    "MAX_CONNECTIONS",
    "MAX_OVERLAP",
    "MONTHLY_TOKEN_LIMIT",
    "OPERATOR_RATE_LIMIT_PER_MINUTE",
    "PORT",
    "PREVIOUS_SECRET_IDLE",
    "RATE_LIMIT_PER_MINUTE",
    "RECONCILE_INTERVAL",
    "REQUEST_TIMEOUT",
    "ROW_CACHE_CAPACITY",
    "RUST_LOG",
    "SECRET_BACKEND",
    "SHUTDOWN_DELAY",
    "SHUTDOWN_TIMEOUT",
    "TOKEN_PROFILE",
    "TRUSTED_PROXIES",
    "UPGRADE_EXCEPT",
    "UPGRADE_ON_VERIFY",
    "UPGRADE_RATE",
    "VAULT_ADDR",
    "VAULT_ALLOW_PLAIN_HTTP",
    "VAULT_AUTH",
    "VAULT_AUTH_MOUNT",
    "VAULT_AUTH_NAMESPACE",
    "VAULT_CACERT",
    "VAULT_CLIENT_CERT",
    "VAULT_CLIENT_KEY",
    "VAULT_CONNECT_TIMEOUT",
    "VAULT_IDLE_TIMEOUT",
    "VAULT_K8S_JWT_FILE",
    "VAULT_K8S_ROLE",
    "VAULT_KV_MOUNT",
    "VAULT_MAX_CONNECTION_AGE",
    "VAULT_MAX_VERSIONS",
    "VAULT_MOUNT",
    "VAULT_NAMESPACE",
    "VAULT_PREFIX",
    "VAULT_PROXY",
    "VAULT_READ_TIMEOUT",
    "VAULT_ROLE_ID",
    "VAULT_SECRET_ID",
    "VAULT_SECRET_ID_FILE",
    "VAULT_SECRET_ID_WRAPPED",
    "VAULT_TLS_SERVER_NAME",
    "VAULT_TOKEN",
    "VAULT_TOKEN_FILE",
    "VAULT_WRITE_TIMEOUT",
    "WARM_CAPACITY",
    "WARM_VAULT_LIFETIME",
    "WARM_VAULT_STALE",
];

/// What other than settings begins with our prefix. Tests set these, and only where they have an effect.
#[cfg(feature = "fail-points")]
const OURS: &[&str] = &["AGENTIDP_FAIL_POINT", "AGENTIDP_LEDGER_WATCH"];
#[cfg(not(feature = "fail-points"))]
const OURS: &[&str] = &[];

/// A warning for each of `names` that is no setting, and begins as ours do or differs from one by a single edit or by case.
/// Values are not looked at.
#[must_use]
pub fn misspelt(names: &[String]) -> Vec<String> {
    names.iter().filter_map(|name| warning(name)).collect()
}

fn warning(name: &str) -> Option<String> {
    // Kubernetes sets these for each service, whatever its name.
    let of_kubernetes = name.contains("_SERVICE_") || name.contains("_PORT");
    if SETTINGS.contains(&name) || OURS.contains(&name) || of_kubernetes {
        return None;
    }
    let upper = name.to_ascii_uppercase();
    let meant = SETTINGS.iter().find(|known| strsim::osa_distance(known, &upper) <= 1);
    match meant {
        Some(known) => Some(format!("{name} is no setting of this server and is ignored: is {known} meant?")),
        None if upper.starts_with("AGENTIDP_") => {
            Some(format!("{name} is no setting of this server and is ignored: .env.example lists the settings"))
        }
        None => None,
    }
}

#[cfg(test)]
pub(super) fn settings() -> std::collections::BTreeSet<String> {
    SETTINGS.iter().map(|name| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_edit_from_a_setting_or_our_prefix_is_warned_of() {
        for (name, meant) in [
            ("RATE_LIMIT_PER_MINTUE", "is RATE_LIMIT_PER_MINUTE meant?"),
            ("VAULT_TOKN_FILE", "is VAULT_TOKEN_FILE meant?"),
            ("JWT_ISSUERS", "is JWT_ISSUER meant?"),
            ("LOGLEVEL", "is LOG_LEVEL meant?"),
            ("jwt_issuer", "is JWT_ISSUER meant?"),
            ("PROT", "is PORT meant?"),
            ("AGENTIDP_DATADIR", "is AGENTIDP_DATA_DIR meant?"),
            ("AGENTIDP_LOG", ".env.example"),
        ] {
            let warnings = misspelt(&[name.to_owned()]);
            assert!(
                matches!(&*warnings, [one] if one.starts_with(name) && one.contains(meant)),
                "{name}: {warnings:?}"
            );
        }
    }

    #[test]
    fn settings_and_the_variables_of_others_are_not() {
        let vault = "VAULT_CAPATH VAULT_SKIP_VERIFY VAULT_CLIENT_TIMEOUT VAULT_FORMAT VAULT_HTTP_PROXY VAULT_LICENSE \
                     VAULT_LICENSE_PATH VAULT_LOG_LEVEL VAULT_MAX_RETRIES VAULT_MFA VAULT_PROXY_ADDR VAULT_RATE_LIMIT \
                     VAULT_REDIRECT_ADDR VAULT_SRV_LOOKUP VAULT_WRAP_TTL VAULT_CLI_NO_COLOR \
                     VAULT_AGENT_ADDR VAULT_API_ADDR VAULT_CLUSTER_ADDR VAULT_DISABLE_REDIRECTS VAULT_DETAILED \
                     VAULT_CACERT_BYTES VAULT_UNWRAP_TOKEN VAULT_TOKEN_HELPER BAO_ADDR BAO_TOKEN BAO_NAMESPACE";
        let kubernetes = "AGENTIDP_PORT AGENTIDP_SERVICE_HOST AGENTIDP_SERVICE_PORT_HTTP AGENTIDP_PORT_3000_TCP_ADDR \
                          VAULT_PORT VAULT_SERVICE_HOST KUBERNETES_PORT_443_TCP";
        let usual = "PATH HOME HOSTNAME USER SHELL PWD LANG TERM TMPDIR PGHOST PGPORT RUST_BACKTRACE HTTP_PROXY";
        for name in [vault, kubernetes, usual].join(" ").split_whitespace().chain(SETTINGS.iter().copied()) {
            assert_eq!(misspelt(&[name.to_owned()]), Vec::<String>::new(), "{name}");
        }
    }
}
