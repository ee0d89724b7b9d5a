//! [`KvV2`] on a real Vault: vaultrs' request types over our own transport. The only file that names `vaultrs`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use rustify::endpoint::Endpoint;
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use vaultrs::api::kv2::requests::{
    DeleteLatestSecretVersionRequest, DeleteSecretMetadataRequest, ReadSecretRequest, SetSecretRequest,
    SetSecretRequestOptions,
};
use zeroize::Zeroizing;

use super::answer::Members;
use super::{KvEntry, KvV2, answer};
use crate::secret::ClientSecret;
use crate::vault::auth::Session;
use crate::vault::failure::Failure;
use crate::vault::mount::Mount;
use crate::vault::path::{VaultPath, Written};
use crate::vault::rights::Right;
use crate::vault::wire::{Answer, Request};

/// Waits before a read that may have met a stale standby is sent again. Standbys were seen up to 128 ms behind.
const STALE_WAITS: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(100), Duration::from_millis(200)];

/// The client.
#[derive(Debug)]
pub(crate) struct VaultrsKv {
    pub(crate) session: Session,
    /// The member of an entry that holds the secret.
    pub(crate) member: Arc<str>,
    /// Whether a write keeps the other members.
    pub(crate) keeps_others: bool,
}

/// The body of a write.
#[derive(Serialize)]
struct NewVersion<'a> {
    data: NewMembers<'a>,
    options: SetSecretRequestOptions,
}

/// What stood there, and the secret, where there is one.
struct NewMembers<'a> {
    others: Members<'a>,
    member: &'a str,
    secret: Option<&'a str>,
}

impl Serialize for NewMembers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let others = self.others.iter().map(|(name, value)| (name.as_str(), NewMember::Kept(value)));
        serializer.collect_map(others.chain(self.secret.map(|secret| (self.member, NewMember::Secret(secret)))))
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum NewMember<'a> {
    Kept(&'a RawValue),
    Secret(&'a str),
}

#[async_trait]
impl KvV2 for VaultrsKv {
    /// A pinned version that is missing on replicated storage may only not have reached this standby yet. It is asked for
    /// again: of the active node, at once where that can be told among several, and after waits else. That makes a version
    /// that really is gone take up to 350 ms longer to report.
    async fn read(&self, path: &VaultPath, version: Option<u64>) -> Result<KvEntry, Failure> {
        let transport = self.session.transport();
        let mut waits = STALE_WAITS.iter();
        let mut of_active = false;
        loop {
            let request = ReadSecretRequest { mount: path.mount().to_owned(), path: path.below_mount(), version };
            let request = Request { of_active, ..encode(&request)? };
            let answer = self.session.send(request).await?;
            let entry = answer::entry(answer.status, &answer.body, version, &self.member);
            let stale = match &entry {
                Err(Failure::StaleStandby) => true,
                Err(Failure::Missing) => version.is_some() && transport.may_be_behind().await,
                _ => false,
            };
            match waits.next() {
                Some(wait) if stale => {
                    if of_active || !transport.has_several() {
                        tokio::time::sleep(*wait).await;
                    }
                    of_active = true;
                }
                _ => return entry,
            }
        }
    }

    async fn latest(&self, path: &VaultPath) -> Result<KvEntry, Failure> {
        let answer = self.read_document(path.mount(), &path.below_mount()).await?;
        answer::entry(answer.status, &answer.body, None, &self.member)
    }

    async fn write(&self, path: &VaultPath, value: &ClientSecret, cas: u64) -> Result<Written, Failure> {
        self.write_version(path, Some(value.expose_secret()), cas).await
    }

    async fn write_blank(&self, path: &VaultPath, cas: u64) -> Result<Written, Failure> {
        self.write_version(path, None, cas).await
    }

    async fn purge(&self, path: &VaultPath) -> Result<(), Failure> {
        let request = DeleteSecretMetadataRequest { mount: path.mount().to_owned(), path: path.below_mount() };
        let request = encode(&request)?;
        let aim = self.session.transport().aim();
        let answer = self.session.send(request.clone()).await?;
        answer::deleted(answer.status, &answer.body, Right::Purge)?;
        if self.session.transport().aim() == aim {
            return Ok(());
        }
        // Only by now it can be aimed. A standby that had not heard of the path would have said the same.
        let answer = self.session.send(request).await?;
        answer::deleted(answer.status, &answer.body, Right::Purge)
    }
}

impl VaultrsKv {
    async fn write_version(&self, path: &VaultPath, secret: Option<&str>, cas: u64) -> Result<Written, Failure> {
        // What stands there is of the version that the write replaces, or the write fails.
        let latest = match cas {
            1.. if self.keeps_others => Some(self.read_document(path.mount(), &path.below_mount()).await?),
            _ => None,
        };
        let others = match &latest {
            Some(answer) => answer::others(answer.status, &answer.body, cas, &self.member)?,
            None => Members::new(),
        };
        let kept: usize = others.iter().map(|(name, value)| name.len() + value.get().len() + 8).sum();
        // So large that it never moves, which would leave a copy behind: of a sign JSON makes six at the most.
        let most = kept + 6 * (self.member.len() + secret.unwrap_or_default().len()) + 128;
        // vaultrs keeps 32 bits; nobody rotates four thousand million times.
        let options = SetSecretRequestOptions { cas: u32::try_from(cas).map_err(|_| Failure::Conflict)? };
        let version = NewVersion { data: NewMembers { others, member: &self.member, secret }, options };
        let mut body = Zeroizing::new(Vec::with_capacity(most));
        serde_json::to_writer(&mut *body, &version).map_err(|_| Failure::Rejected(400))?;
        let url = format!("{}/data/{}", path.mount(), path.below_mount());
        let answer = self.session.send(Request::post(url, Bytes::from_owner(body))).await?;
        answer::written(answer.status, &answer.body, if cas == 0 { Right::Create } else { Right::Update })
    }

    /// Soft-deletes the latest version.
    pub(crate) async fn soft_delete(&self, path: &VaultPath) -> Result<(), Failure> {
        let request = DeleteLatestSecretVersionRequest { mount: path.mount().to_owned(), path: path.below_mount() };
        let answer = self.session.send(encode(&request)?).await?;
        answer::deleted(answer.status, &answer.body, Right::Delete)
    }

    /// Whether the latest version at a path deletes itself after a time.
    pub(crate) async fn deletes_by_itself(&self, path: &VaultPath) -> Result<bool, Failure> {
        let request = ReadSecretRequest { mount: path.mount().to_owned(), path: path.below_mount(), version: None };
        let answer = self.session.send(Request { of_active: true, ..encode(&request)? }).await?;
        answer::deletes_by_itself(answer.status, &answer.body)
    }

    /// Reads the latest version at a path, from the active node.
    ///
    /// The first success tells which cluster this is. Only from then on a standby passes the request on to the active node, so
    /// it is sent once more. A path that is missing is no success: then the mount is asked about, which is one.
    pub(crate) async fn read_document(&self, mount: &str, path: &str) -> Result<Answer, Failure> {
        let transport = self.session.transport();
        let request = ReadSecretRequest { mount: mount.to_owned(), path: path.to_owned(), version: None };
        let request = Request { of_active: true, ..encode(&request)? };
        let aim = transport.aim();
        let answer = self.session.send(request.clone()).await?;
        if aim.is_none() && answer.status == 404 && transport.aim().is_none() && transport.may_be_behind().await {
            self.mount(mount).await?;
        }
        if transport.aim() == aim {
            return Ok(answer);
        }
        self.session.send(request).await
    }

    /// Writes a version of a document that is no credential's if the latest one is `cas`.
    pub(crate) async fn write_document(
        &self,
        mount: &str,
        path: &str,
        data: Value,
        cas: u64,
    ) -> Result<Answer, Failure> {
        let cas = u32::try_from(cas).map_err(|_| Failure::Conflict)?;
        let options = Some(SetSecretRequestOptions { cas });
        let request = SetSecretRequest { mount: mount.to_owned(), path: path.to_owned(), data, options };
        self.session.send(encode(&request)?).await
    }

    /// What is mounted.
    pub(crate) async fn mount(&self, mount: &str) -> Result<Mount, Failure> {
        Mount::find(&self.session, mount).await
    }
}

/// The request of one of vaultrs' types. Its parts are taken one by one, because rustify's way to a whole request
/// records the path in a tracing span.
fn encode(endpoint: &impl Endpoint) -> Result<Request, Failure> {
    // Encoding fails for no value of ours, and rustify's error could hold one.
    let unencodable = Failure::Rejected(400);
    let method = endpoint.method().into();
    Ok(Request {
        is_read: method == Method::GET,
        method,
        query: endpoint.query().map_err(|_| unencodable)?.filter(|query| !query.is_empty()),
        body: endpoint.body().map_err(|_| unencodable)?.map(|body| Bytes::from_owner(Zeroizing::new(body))),
        ..Request::get(endpoint.path().trim_start_matches('/').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::CredentialKey;

    fn path() -> VaultPath {
        VaultPath::for_key("team/kv", "idp", &CredentialKey::parse("a", "c").unwrap()).unwrap()
    }

    #[test]
    fn requests_are_the_documented_ones() {
        let read = ReadSecretRequest { mount: path().mount().to_owned(), path: path().below_mount(), version: Some(3) };
        let request = encode(&read).unwrap();
        assert_eq!(request.method, Method::GET);
        assert_eq!(request.path, "team/kv/data/idp/agents/a/credentials/c");
        assert_eq!(request.query.as_deref(), Some("version=3"));
        assert!(request.body.is_none());

        let latest = ReadSecretRequest { version: None, ..read };
        assert_eq!(encode(&latest).unwrap().query, None);

        let body = |others, secret| {
            let options = SetSecretRequestOptions { cas: 0 };
            serde_json::to_string(&NewVersion { data: NewMembers { others, member: "clientSecret", secret }, options })
        };
        let written = body(Members::new(), Some("s<\"")).unwrap();
        assert_eq!(written, r#"{"data":{"clientSecret":"s<\""},"options":{"cas":0}}"#);
        let others = serde_json::from_str::<Members<'_>>(r#"{"note":{ "n": 1.10 }}"#).unwrap();
        let written = body(others, None).unwrap();
        assert_eq!(written, r#"{"data":{"note":{ "n": 1.10 }},"options":{"cas":0}}"#);
    }
}
