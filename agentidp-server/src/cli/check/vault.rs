//! Vault: the address, the mount, the token, and each right of the policy.

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::folder::{Disagreement, Judgement, WATCH_TIME};
use agentidp_secrets::vault::VaultKv2;
use agentidp_secrets::vault::auth::{AuthKind, TokenStatus};
use agentidp_secrets::vault::check::Right;
use agentidp_secrets::vault::ledger::LedgerEntry;
use agentidp_secrets::{Clock, Error, ErrorKind, SystemClock};

use super::report::Report;
use crate::cli::database::open_repos;
use crate::config::{Config, Vault};
use crate::ledger::{LedgerError, advice};
use crate::wiring;

const ADDRESS: &str = "Vault address";
const MOUNT: &str = "Vault mount";
const TOKEN: &str = "Vault token";
const RIGHTS: &str = "Vault rights";
const VERSIONS: &str = "Vault versions";
const LEDGER: &str = "Vault folder";

/// Tries all of it, each as far as what comes before allows.
pub(super) async fn check(config: &Config, report: &mut Report) {
    let Some(settings) = &config.vault else {
        report.ok(ADDRESS, "VAULT_ADDR is not set: secrets are kept as bcrypt digests");
        return;
    };
    let clock = Arc::new(SystemClock::default()) as Arc<dyn Clock>;
    match wiring::vault_backend(settings, &clock) {
        Ok(vault) => try_all(&vault, config, settings, report).await,
        Err(error) => report.fail(ADDRESS, error),
    }
}

async fn try_all(vault: &VaultKv2, config: &Config, settings: &Vault, report: &mut Report) {
    match vault.check().await {
        Ok(()) => {
            report.ok(ADDRESS, format_args!("{} answers", settings.address));
            report.ok(MOUNT, format_args!("{} is KV version 2", settings.mount));
        }
        Err(error) => return refused(vault, settings, &error, report),
    }
    match vault.token_status().await {
        Ok(status) => token(vault.auth_kind(), &status, report),
        Err(error) if error.is_retryable() => report.fail(TOKEN, error),
        // It is alive, or the mount would not have been shown to it.
        Err(error) => {
            let kind = vault.auth_kind();
            report.note(TOKEN, format_args!("{kind}: cannot be renewed: {error}"));
            if is_given(kind) {
                report.advise(new_token());
            }
        }
    }
    rights(vault, &settings.prefix, report).await;
    retention(vault, settings, report).await;
    ledger(vault, config, settings, report).await;
}

/// Whether this database may delete in the folder. Claims and advances nothing.
async fn ledger(vault: &VaultKv2, config: &Config, settings: &Vault, report: &mut Report) {
    if wiring::missing_database(config).is_some() {
        return match vault.ledger_entry().await {
            Ok(LedgerEntry::Absent) => report.ok(LEDGER, "the folder is unclaimed"),
            Ok(_) => disagrees(Disagreement::NotAdmitted, report),
            Err(error) => unread(&error, report),
        };
    }
    let clock = Arc::new(SystemClock::default()) as Arc<dyn Clock>;
    let Ok(repos) = open_repos(config).await else { return report.not_tried(LEDGER, "not before the database works") };
    let compared = wiring::ledger(settings, vault.clone(), &repos, &clock, WATCH_TIME).compare().await;
    // A start brings the table that it is in.
    let current =
        matches!(compared, Ok(_) | Err(LedgerError::Entry(_))) || repos.database.is_current().await.unwrap_or(false);
    repos.database.close().await;
    match compared {
        Ok(found) => match found.judgement {
            Judgement::Unclaimed => report.ok(LEDGER, "the folder is unclaimed: the first start claims it"),
            Judgement::Current | Judgement::Advanced => report.ok(LEDGER, "the folder is this database's"),
            Judgement::Disagrees(disagreement) => disagrees(disagreement, report),
        },
        Err(_) if !current => report.note(LEDGER, "not known before the first start or `agentidp-server migrate`"),
        Err(LedgerError::Entry(error)) => unread(&error, report),
        Err(error) => report.fail(LEDGER, error),
    }
}

fn unread(error: &Error, report: &mut Report) {
    match error.kind() {
        // The right to read was tried before.
        ErrorKind::Denied => report.not_tried(LEDGER, "not before the right to read is granted"),
        _ => report.fail(LEDGER, error),
    }
}

fn disagrees(disagreement: Disagreement, report: &mut Report) {
    report.fail(LEDGER, disagreement);
    report.advise(format!("Nothing is deleted in Vault until this is decided: {}.\n", advice(disagreement)));
}

fn refused(vault: &VaultKv2, settings: &Vault, error: &Error, report: &mut Report) {
    let because = "not before the rest works";
    match error.kind() {
        ErrorKind::Denied => {
            report.ok(ADDRESS, format_args!("{} answers", settings.address));
            report.not_tried(MOUNT, because);
            report.fail(TOKEN, error);
            if is_given(vault.auth_kind()) {
                report.advise(new_token());
            }
        }
        ErrorKind::InvalidConfig => {
            report.ok(ADDRESS, format_args!("{} answers", settings.address));
            report.fail(MOUNT, error);
            report.not_tried(TOKEN, because);
            // A token without any right below the mount is told the same as if there were no mount. On a mount of version 1
            // no policy helps.
            if !error.to_string().contains("KV version 1") {
                report.advise(policy(vault));
            }
        }
        _ => {
            report.fail(ADDRESS, error);
            report.not_tried(MOUNT, because);
            report.not_tried(TOKEN, because);
        }
    }
    report.not_tried(RIGHTS, because);
    report.not_tried(VERSIONS, because);
    report.not_tried(LEDGER, because);
}

/// Whether an operator makes the token.
fn is_given(kind: AuthKind) -> bool {
    matches!(kind, AuthKind::Token | AuthKind::TokenFile)
}

/// Who will be surprised by its end, if anybody: the server renews what can be renewed, and logs in where it can.
fn token(kind: AuthKind, status: &TokenStatus, report: &mut Report) {
    let Some(ttl) = status.ttl else {
        if status.root && is_given(kind) {
            report.note(TOKEN, "is a root token, which may do everything: use one that may do what is needed");
            report.advise(new_token());
        } else {
            report.ok(TOKEN, format_args!("{kind}: never ends"));
        }
        return;
    };
    let renewable = if status.renewable { "renewable" } else { "not renewable" };
    let period = status.period.map_or_else(|| "no period".to_owned(), |period| format!("period {}", told(period)));
    let found = format!("{kind}: ttl {}, {renewable}, {period}", told(ttl));
    match status {
        _ if kind == AuthKind::Agent => report.ok(TOKEN, format_args!("{found}; the agent looks after it")),
        _ if kind.logs_in() => report.ok(TOKEN, format_args!("{found}; the server logs in again before it ends")),
        TokenStatus { longest: Some(longest), .. } => {
            report.note(
                TOKEN,
                format_args!(
                    "{found}; it ends {} after it was made, renewed or not (explicit_max_ttl)",
                    told(*longest)
                ),
            );
            report.advise(new_token());
        }
        TokenStatus { renewable: true, period: Some(_), .. } => {
            report.ok(TOKEN, format_args!("{found}; the server renews it, which works for ever"));
        }
        _ => {
            report.note(TOKEN, format_args!("{found}; it ends, and cannot be renewed for ever"));
            report.advise(new_token());
        }
    }
}

async fn rights(vault: &VaultKv2, prefix: &str, report: &mut Report) {
    for tried in vault.check_rights().await {
        let what = format!("right {}", tried.right);
        match tried.result {
            Ok(()) => report.ok(what, format_args!("on {}", tried.pattern)),
            Err(error) => {
                report.fail(what, format_args!("on {}: {error}", tried.pattern));
                if error.kind() == ErrorKind::Denied {
                    report.advise(policy(vault));
                }
                if tried.right == Right::Purge {
                    report.advise(leftover(prefix));
                }
            }
        }
    }
}

/// A rotation needs the version that counts and the one that it writes.
async fn retention(vault: &VaultKv2, settings: &Vault, report: &mut Report) {
    let expected = settings.versions_kept;
    match vault.check_retention(expected).await {
        Ok(kept) if kept.deletes_by_itself => report.fail(
            VERSIONS,
            "Vault deletes every version by itself after a time: set delete_version_after of the mount to 0s",
        ),
        Ok(kept) if kept.versions < 2 => report.fail(
            VERSIONS,
            "Vault keeps one version of a secret, so that a rotation would destroy the one that counts: set max_versions of \
             the mount to 2 or more",
        ),
        Ok(kept) if kept.versions < expected.min(64) => report.fail(
            VERSIONS,
            format_args!(
                "Vault keeps {} versions of a secret and not {expected}: set VAULT_MAX_VERSIONS={}, or max_versions of the mount",
                kept.versions, kept.versions
            ),
        ),
        Ok(_) => report.ok(VERSIONS, format_args!("{expected} of a secret are kept")),
        Err(error) => report.not_tried(VERSIONS, format_args!("{error}")),
    }
}

fn told(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    match minutes / 60 {
        0..2 => format!("{minutes} minutes"),
        hours @ 2..48 => format!("{hours} hours"),
        hours => format!("{} days", hours / 24),
    }
}

fn policy(vault: &VaultKv2) -> String {
    format!(
        "Give the token a policy with exactly this (`vault` takes the same words as `bao`):\n\n\
         bao policy write agentidp - <<'EOF'\n{}EOF\n",
        vault.policy()
    )
}

fn new_token() -> String {
    "Make a token that can be renewed for ever, put it into VAULT_TOKEN or its file, and start the server again:\n\n\
     bao token create -orphan -period=768h -policy=agentidp -field=token\n"
        .to_owned()
}

fn leftover(prefix: &str) -> String {
    format!(
        "Without that last right the secret that was used for trying could not be deleted: it stays in Vault below \
         {prefix}/agents/check and is of no use to anybody.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_largest_unit_of_which_there_are_two() {
        let table =
            [(119, "119 minutes"), (120, "2 hours"), (47 * 60, "47 hours"), (48 * 60, "2 days"), (768 * 60, "32 days")];
        for (minutes, expected) in table {
            assert_eq!(told(Duration::from_secs(minutes * 60)), expected);
        }
    }
}
