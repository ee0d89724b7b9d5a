//! Writing a secret to its place, so that no version that counts is evicted and no presented secret is shown.
//!
//! The caller holds the [`WriteLease`] and commits what was written. Compare-and-set on the version keeps out every writer that
//! holds none: an older release, or an operator's hand.

use std::time::Duration;

use agentidp_secrets::{
    ClientSecret, CredentialKey, Error, ErrorKind, Held, Issued, Operation, Rotated, Selector, StoredSecret,
};
use tracing::{info, warn};

use super::window::{Next, Place};
use super::write_lease::WriteLease;
use crate::app::App;
use crate::domain::{OpenWriteKind, SecretDigest};
use crate::error::ApiError;

/// How often another writer may be faster at one place, before the client is asked to try again.
const ATTEMPTS: usize = 5;

/// A secret that is written and not committed.
pub(super) struct NewSecret {
    pub(super) secret: ClientSecret,
    pub(super) stored: StoredSecret,
    pub(super) selector: Option<Selector>,
}

impl From<Issued> for NewSecret {
    fn from(issued: Issued) -> Self {
        Self { secret: issued.secret, stored: issued.stored, selector: issued.selector }
    }
}

impl From<Rotated> for NewSecret {
    fn from(rotated: Rotated) -> Self {
        Self { secret: rotated.secret, stored: rotated.stored, selector: rotated.selector }
    }
}

/// What was written at a place.
pub(super) enum Written<'a> {
    /// A version that is new to the row, ready to be committed.
    New(NewSecret, WriteLease<'a>),
    /// A later version of the same secret, which the row has to pin first.
    Repaired(StoredSecret, WriteLease<'a>),
}

/// Writes a generated secret as the next version of a place that the row pins at `base`.
///
/// # Errors
/// `VAULT_WRITE_ERROR`, `SERVICE_UNAVAILABLE`; then the row is as it was, and its secret works.
pub(super) async fn in_place<'a>(
    app: &'a App,
    key: &CredentialKey,
    record: &StoredSecret,
    base: u64,
    secret: ClientSecret,
    lease: WriteLease<'a>,
) -> Result<Written<'a>, ApiError> {
    // Without an earlier attempt the version that the row pins ought to be the latest.
    if lease.left.is_none() {
        match app.store.rotate_with(key, &record.clone().into(), Duration::ZERO, secret.clone()).await {
            Ok(rotated) => return Ok(Written::New(rotated.into(), lease)),
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => return Err(lease.failed(error).await),
        }
    }
    for _ in 0..ATTEMPTS {
        let (place, latest) = match look(app, key, base, &lease).await {
            Ok(looked) => looked,
            Err(error) => return Err(lease.failed(error).await),
        };
        if !lease.renew().await? {
            return Err(contended());
        }
        let written = match place.next() {
            Next::Adopt => {
                info!(credential_id = %key.credential_id(), "a secret that was written and never shown is taken");
                Ok(app.store.adopt(key, latest))
            }
            Next::Write => app.store.overwrite(key, place.latest, secret.clone()).await.map(Some),
            Next::Repair => return repair(app, key, &place, lease).await,
        };
        match written {
            Ok(Some(issued)) => return Ok(Written::New(issued.into(), lease)),
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => return Err(lease.failed(error).await),
        }
    }
    lease.end().await;
    Err(contended())
}

/// Writes `secret` at a place that no row points to, over whatever lies there. Nothing there is ever adopted: it may be a
/// secret that a client has presented.
///
/// # Errors
/// As [`in_place`].
pub(super) async fn moving_in<'a>(
    app: &'a App,
    key: &CredentialKey,
    secret: ClientSecret,
    lease: WriteLease<'a>,
) -> Result<(NewSecret, WriteLease<'a>), ApiError> {
    if lease.left.is_none() {
        match app.store.issue_with(key, secret.clone()).await {
            Ok(issued) => return Ok((issued.into(), lease)),
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => return Err(lease.failed(error.with_operation(Operation::Rotate)).await),
        }
    }
    for _ in 0..ATTEMPTS {
        let latest = match app.store.inspect(key, None).await {
            Ok(latest) => latest.version(),
            Err(error) => return Err(lease.failed(error.with_operation(Operation::Rotate)).await),
        };
        if !lease.renew().await? {
            return Err(contended());
        }
        match app.store.overwrite(key, latest, secret.clone()).await {
            Ok(issued) => return Ok((issued.into(), lease)),
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => return Err(lease.failed(error).await),
        }
    }
    lease.end().await;
    Err(contended())
}

/// Looks at the place on the active node.
async fn look(app: &App, key: &CredentialKey, base: u64, lease: &WriteLease<'_>) -> Result<(Place, Held), Error> {
    let inspect =
        async |version| app.store.inspect(key, version).await.map_err(|error| error.with_operation(Operation::Rotate));
    let latest = inspect(None).await?;
    let is_noted = latest.secret().is_some_and(|secret| lease.has_noted(secret));
    let kept = app.vault.as_ref().map_or(0, |place| place.versions_kept);
    let mut place = Place { base, latest: latest.version(), is_noted, has_base: true, has_older: None, kept };
    if place.latest > base && place.next() != Next::Adopt {
        place.has_base = inspect(Some(base)).await?.secret().is_some();
        if base > 1 {
            place.has_older = Some(matches!(inspect(Some(base - 1)).await?, Held::Version { .. }));
        }
    }
    Ok((place, latest))
}

/// Writes the current secret over the latest version. A digest of it is noted first: should the commit never come, the next
/// writer recognises the secret and has the row pin it.
async fn repair<'a>(
    app: &'a App,
    key: &CredentialKey,
    place: &Place,
    mut lease: WriteLease<'a>,
) -> Result<Written<'a>, ApiError> {
    let current = match app.store.inspect(key, Some(place.base)).await {
        Ok(Held::Version { secret: Some(current), .. }) => current,
        Ok(_) => {
            lease.end().await;
            return Err(contended());
        }
        Err(error) => return Err(lease.failed(error.with_operation(Operation::Rotate)).await),
    };
    if place.evicts() && !current.has_generated_form() {
        // No digest of a chosen secret is kept, so a repair that is not committed could not be recognised.
        let why = "newer versions that no row points to leave no room for another; delete them in Vault, or raise max_versions";
        return Err(lease.failed(Error::new(ErrorKind::Conflict, why).with_operation(Operation::Rotate)).await);
    }
    warn!(
        credential_id = %key.credential_id(),
        "Vault holds later versions that no row points to, and would soon drop the one that counts: it is written anew",
    );
    lease.reopen(OpenWriteKind::Repair, place.base, SecretDigest::of_current(&current)).await?;
    match app.store.overwrite(key, place.latest, current).await {
        Ok(repaired) => Ok(Written::Repaired(repaired.stored, lease)),
        Err(error) if error.kind() == ErrorKind::Conflict => {
            lease.end().await;
            Err(contended())
        }
        Err(error) => Err(lease.failed(error).await),
    }
}

/// What a repair left whose commit never came: the current secret once more. `None` where the latest version is anything else.
///
/// # Errors
/// Those of Vault.
pub(super) async fn repaired(
    app: &App,
    key: &CredentialKey,
    lease: &WriteLease<'_>,
) -> Result<Option<StoredSecret>, Error> {
    match app.store.inspect(key, None).await? {
        Held::Version { stored, secret: Some(secret), .. } if lease.has_repaired(&secret) => Ok(Some(stored)),
        _ => Ok(None),
    }
}

fn contended() -> ApiError {
    ApiError::vault(
        Error::new(ErrorKind::Throttled, "other writers were faster at the place of this credential; try again")
            .with_operation(Operation::Rotate),
    )
}
