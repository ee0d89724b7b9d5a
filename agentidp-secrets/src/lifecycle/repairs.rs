//! Repairs that are not committed: the current secret was to be written anew at its place, and its writer is gone.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::commit::Why;
use super::flaw::Flaw;
use super::lease::{Asked, Lease, Patience, Plan};
use super::ledger::Ledger;
use super::revision::Revision;
use super::rows::{Row, State};
use super::{Failure, Lifecycle};
use crate::credential::CredentialKey;
use crate::error::{ErrorKind, Operation};
use crate::record::StoredSecret;

impl<L: Ledger> Lifecycle<L> {
    /// Has an unfinished repair finished, for a secret that is to count on without a write of its own.
    pub(super) async fn finish_repairs(&self, key: &CredentialKey) -> Result<(), Failure<L::Error>> {
        let mut patience = Patience::new();
        if self.has(Flaw::ForgetsRepairs) {
            return Ok(());
        }
        while let Some(place) = self.edit(key, |_, note, _| note.repairs()).await? {
            match self.finish_repair(key, &place).await {
                Err(Failure::Backend(error)) if error.kind() == ErrorKind::Malformed => break,
                finished => finished?,
            }
            patience.wait().await?;
        }
        Ok(())
    }

    /// Finishes what a process left that died while it wrote a current secret anew. Boxed, as below: rare, and deep.
    pub(super) fn finish_repair<'a>(
        &'a self,
        key: &'a CredentialKey,
        place: &'a StoredSecret,
    ) -> BoxFuture<'a, Result<(), Failure<L::Error>>> {
        let finish = async move {
            self.refuse_unknown(&self.active(key).await?.0)?;
            let plan = |state: &State, _| -> Plan { Ok(self.plan(state.active().ok_or(Why::Ended)?, place)) };
            let asked = self.ask(key, place, Revision::fresh()?, None, false, plan).await?;
            let Asked::Ours(mut lease) = asked else { return Ok(()) };
            let Some(before) = lease.row.clone() else { return Ok(()) };
            // From a place that the credential has left there is nothing to repair.
            if lease.base > 0 && self.finish_leased(&before, &mut lease, true).await? {
                return Ok(());
            }
            self.edit(key, |_, note, now| note.drop_repair(lease.attempt, now)).await
        };
        finish.boxed()
    }

    /// Has the row pin what an earlier attempt wrote of its secret anew, and says whether there was such a version. If the secret is to
    /// count on, a write that may still arrive and push it out gets no chance.
    pub(super) fn finish_leased<'a>(
        &'a self,
        before: &'a Row,
        lease: &'a mut Lease,
        counts_on: bool,
    ) -> BoxFuture<'a, Result<bool, Failure<L::Error>>> {
        let finish = async move {
            let repaired = match self.repaired(lease).await {
                Ok(None) if counts_on => self.repair_again(lease).await?,
                Ok(repaired) => repaired,
                Err(error) => return Err(self.failed(lease, error.with_operation(Operation::Rotate)).await),
            };
            let Some(stored) = repaired else { return Ok(false) };
            self.pin_to(before, stored, lease).await.map(|_| true)
        };
        finish.boxed()
    }
}
