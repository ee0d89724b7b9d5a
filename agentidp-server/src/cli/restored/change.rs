//! What the trail has of a settled credential.

use std::net::{IpAddr, Ipv4Addr};

use agentidp_secrets::lifecycle::compare::Settlement;
use agentidp_secrets::lifecycle::{Change, Row};
use async_trait::async_trait;
use serde_json::json;

use crate::domain::{AuditAction, AuditEvent, Origin, Outcome, Timestamp, ids};
use crate::error::ApiError;
use crate::life::Database;
use crate::repo::ChangeTx;

/// An operator has decided which secret counts.
pub(super) struct Settled {
    now: Timestamp,
    settlement: Settlement,
}

impl Settled {
    pub(super) fn new(now: Timestamp, settlement: Settlement) -> Self {
        Self { now, settlement }
    }
}

#[async_trait]
impl Change<Database> for Settled {
    async fn after(&self, tx: &mut Box<dyn ChangeTx>, row: &Row) -> Result<(), ApiError> {
        let (client_id, credential_id) = ids(&row.key);
        let restored = match self.settlement {
            Settlement::Row => "row",
            Settlement::Latest => "latest",
            Settlement::Both(_) => "both",
        };
        let about = json!({ "credentialId": credential_id, "actor": "operator", "restored": restored });
        // The command line has no address.
        let origin =
            Origin { ip_address: IpAddr::V4(Ipv4Addr::LOCALHOST), user_agent: "agentidp-server restored".to_owned() };
        let (action, outcome) = (AuditAction::CredentialRotated, Outcome::Success);
        Ok(tx.append(&AuditEvent::new(action, outcome, Some(client_id), &origin, about, self.now)).await?)
    }
}
