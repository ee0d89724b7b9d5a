//! A secret id in a wrapping: Vault gives it out once, to whoever comes first.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::token::VaultToken;
use crate::vault::failure::Failure;
use crate::vault::hidden::Hidden;
use crate::vault::rights::Right;
use crate::vault::setting::{Names, Setting};
use crate::vault::wire::answer::{data, failure};
use crate::vault::wire::{Request, Transport};

/// What was unwrapped last. Clones share it, because the wrapping opens once.
#[derive(Clone, Default)]
pub(super) struct Unwrapped(Arc<Mutex<Option<Opened>>>);

struct Opened {
    wrapping: Hidden,
    secret_id: Opening,
}

/// An answer of Vault that may still be on its way. It is kept when who asked has gone: it comes once.
type Opening = Shared<BoxFuture<'static, Result<Hidden, Failure>>>;

#[derive(Deserialize)]
struct Lookup {
    creation_path: String,
}

#[derive(Deserialize)]
struct Wrapping {
    secret_id: String,
}

impl Unwrapped {
    /// The secret id in this wrapping, which is opened once: another login takes what is remembered, or what is on its way.
    ///
    /// `mount` is where the secret id has to come from, and `setting` what the wrapping's token was given by.
    pub(super) async fn secret_id(
        &self,
        wrapping: Hidden,
        mount: &str,
        setting: Setting,
        transport: &Arc<Transport>,
    ) -> Result<Hidden, Failure> {
        let opening = self.opening(wrapping, mount, setting, transport);
        let opened = opening.clone().await;
        if opened.is_err() {
            let mut held = self.held();
            held.take_if(|held| held.secret_id.ptr_eq(&opening));
        }
        opened
    }

    fn opening(&self, wrapping: Hidden, mount: &str, setting: Setting, transport: &Arc<Transport>) -> Opening {
        let mut held = self.held();
        if let Some(held) = held.as_ref().filter(|held| held.wrapping.expose() == wrapping.expose()) {
            return held.secret_id.clone();
        }
        let (asked, mount, transport) = (wrapping.clone(), mount.to_owned(), Arc::clone(transport));
        let opening = async move {
            look(&asked, &mount, setting, &transport).await?;
            unwrap(&asked, setting, &transport).await
        };
        let secret_id = opening.boxed().shared();
        held.insert(Opened { wrapping, secret_id }).secret_id.clone()
    }

    fn held(&self) -> MutexGuard<'_, Option<Opened>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks where the wrapping comes from. Only a secret id of this login is unwrapped: somebody may have taken the real one and put
/// one of their own in its place.
async fn look(wrapping: &Hidden, mount: &str, setting: Setting, transport: &Transport) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Body<'a> {
        token: &'a str,
    }
    let mut body = Zeroizing::new(Vec::with_capacity(8192));
    // A text in a map: there is nothing that could not be encoded.
    serde_json::to_writer(&mut *body, &Body { token: wrapping.expose() }).map_err(|_| Failure::Rejected(400))?;
    let request = Request::post("sys/wrapping/lookup".to_owned(), Bytes::from_owner(body)).of_token();
    let answer = transport.send(request, None).await?;
    let found: Lookup = match answer.status {
        200 => data(answer.status, &answer.body)?,
        status => return Err(refusal(status, &answer.body, setting)),
    };
    let role = found.creation_path.strip_prefix(&format!("auth/{mount}/role/"));
    match role.and_then(|role| role.strip_suffix("/secret-id")) {
        Some(role) if !role.contains('/') => Ok(()),
        _ => Err(Failure::OtherWrapping(setting)),
    }
}

async fn unwrap(wrapping: &Hidden, setting: Setting, transport: &Transport) -> Result<Hidden, Failure> {
    let token = VaultToken::from(wrapping.clone()).header(Names::default());
    let token = token.map_err(|_| Failure::SpentWrapping(setting))?;
    let request = Request::post("sys/wrapping/unwrap".to_owned(), Bytes::from_static(b"{}")).of_token();
    let answer = transport.send(request, Some(&token)).await?;
    match answer.status {
        200 => data::<Wrapping>(answer.status, &answer.body).map(|found| Hidden::from(found.secret_id)),
        status => Err(refusal(status, &answer.body, setting)),
    }
}

/// Vault gives the same answer for a wrapping that was opened, has expired, or never was.
fn refusal(status: u16, body: &[u8], setting: Setting) -> Failure {
    match failure(status, body, Right::Read) {
        Failure::Rejected(400) | Failure::TokenDead | Failure::Denied(_) => Failure::SpentWrapping(setting),
        other => other,
    }
}

impl fmt::Debug for Unwrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unwrapped")
    }
}
