//! What callers ask for, and what may have come of it.

use async_trait::async_trait;

use super::executor::TaskId;
use super::ledger::SimulatedLedger;
use super::seen::{Kind, Operation};
use super::site::Site;
use super::world::World;
use crate::credential::CredentialKey;
use crate::lifecycle::{Change, Failure, Ledger as _, MemoryError, MemoryTx, Row, Shown};

impl World {
    pub(super) fn begin(&mut self, key: &CredentialKey, kind: Kind) -> usize {
        let began = self.now();
        self.counts.operations += 1;
        self.operations.push(Operation {
            key: key.clone(),
            kind,
            began,
            committed: 0,
            secret: None,
            has_failed: false,
            idle: None,
        });
        self.operations.len() - 1
    }

    /// The audit has a line of this operation.
    pub(super) fn is_in_audit(&mut self, number: usize, key: &CredentialKey) {
        let Some(operation) = self.operations.get_mut(number) else { return };
        operation.committed += 1;
        let (committed, has_failed, is_its_own) = (operation.committed, operation.has_failed, operation.key == *key);
        if committed > 1 || !is_its_own {
            self.violate("each acknowledged change is in the audit once", |_| {
                format!("operation {number}: {committed}")
            });
        }
        if has_failed {
            self.violate("a definite error changed nothing", |_| format!("operation {number} was committed later"));
        }
    }

    /// An end of an overlap goes by what its task has read.
    fn takes_what_it_read(&mut self, number: usize, task: Option<TaskId>) {
        let Some(operation) = self.operations.get_mut(number) else { return };
        if let (Kind::EndIdle(_), Some(task)) = (operation.kind, task) {
            operation.idle = self.oracle.idle.get(&(task, operation.key.clone())).cloned();
        }
    }

    /// Whether the operation makes a secret that its caller may ask for once more.
    fn may_be_retried(&self, number: usize) -> bool {
        let makes = |operation: &Operation| matches!(operation.kind, Kind::Issue | Kind::Rotate(_) | Kind::Retry);
        self.setting.retries && self.operations.get(number).is_some_and(makes)
    }

    /// The caller has its answer.
    pub(super) fn answered(&mut self, number: usize, answer: Result<Option<Shown>, Failure<MemoryError>>) {
        self.tell(|world| match &answer {
            Ok(Some(shown)) => format!("operation {number} shows {}", world.alias(Some(&shown.secret))),
            Ok(None) => format!("operation {number} is done"),
            Err(failure) => format!("operation {number} fails: {failure}"),
        });
        let Some(operation) = self.operations.get_mut(number) else { return };
        let (committed, kind, key) = (operation.committed, operation.kind, operation.key.clone());
        // A credential ends once. Of two callers that end it, one may take the end of the other for its own.
        let is_ended = kind == Kind::End
            && self.operations.iter().any(|other| other.key == key && other.kind == Kind::End && other.committed == 1);
        let Some(operation) = self.operations.get_mut(number) else { return };
        match answer {
            Ok(shown) => {
                let secret = operation.secret.clone();
                if committed != 1 && !is_ended {
                    self.violate("each acknowledged change is in the audit once", |_| {
                        format!("operation {number} is acknowledged, and {committed} times there")
                    });
                }
                if let Some(shown) = shown {
                    if !secret.is_some_and(|secret| secret.ct_eq(&shown.secret)) {
                        self.violate("a secret is shown after its commit", |_| format!("operation {number}"));
                    }
                    self.shown(&shown.secret);
                }
            }
            Err(Failure::Unknown(_) | Failure::Cut) => {}
            Err(_) => {
                operation.has_failed = true;
                if committed > 0 {
                    self.violate("a definite error changed nothing", |_| format!("operation {number}"));
                }
            }
        }
    }
}

/// The caller's part of a change: one line in the audit.
pub(super) struct Audit {
    pub(super) site: Site,
    pub(super) operation: usize,
}

#[async_trait]
impl Change<SimulatedLedger> for Audit {
    async fn before(&self, _tx: &mut MemoryTx) -> Result<(), MemoryError> {
        self.site.point("before the change").await;
        Ok(())
    }

    async fn after(&self, tx: &mut MemoryTx, row: &Row) -> Result<(), MemoryError> {
        self.site.point("audit").await;
        let is_refused = {
            let mut world = self.site.world.lock();
            let rate = world.rates.refused;
            world.chance.happens(rate)
        };
        if is_refused {
            return Err(MemoryError::new("the caller's part of the change refuses"));
        }
        let (ledger, may_be_retried) = {
            let mut world = self.site.world.lock();
            world.takes_what_it_read(self.operation, self.site.executor.current());
            (world.ledger.clone(), world.may_be_retried(self.operation))
        };
        if may_be_retried {
            ledger.replace(tx, &row.clone().unused(true)).await?;
        }
        tx.log(self.operation.to_string());
        Ok(())
    }
}
