//! What the log and an operator's terminal say about it.

use tracing::{error, info, warn};

use super::error::LedgerError;
use super::gate::LedgerState;
use super::judge::Disagreement;

/// Logs a change of the state.
pub(super) fn report(state: LedgerState, problem: Option<&LedgerError>) {
    match state {
        LedgerState::Agrees => info!("this database agrees with its folder in Vault: deletions are carried out"),
        LedgerState::Watching => {
            info!("this database agrees with its folder in Vault so far: deletions wait for two minutes")
        }
        LedgerState::Unknown => {
            let problem = problem.map(ToString::to_string);
            warn!(problem, "this database could not be compared with its folder in Vault: deletions wait");
        }
        LedgerState::Disagrees(disagreement) => error!(
            disagreement = %disagreement,
            "this database and its folder in Vault disagree, so nothing is deleted there: {}", disagreement.advice()
        ),
    }
}

impl Disagreement {
    /// What an operator has to do.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::NotAdmitted => {
                "set VAULT_PREFIX to a folder of this deployment's own, correct DATABASE_URL, or run `agentidp-server \
                 admit` if both databases are meant to share the folder"
            }
            _ => "find out which database and which Vault are the right ones, then run `agentidp-server admit` on them",
        }
    }
}
