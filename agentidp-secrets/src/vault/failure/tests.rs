use super::*;

#[test]
fn every_failure_has_its_kind_and_names_what_to_do() {
    let site = Site {
        address: "http://127.0.0.1:8200".to_owned(),
        folder: Folder::new("kv", "idp").unwrap(),
        member: "clientSecret".into(),
        names: Names::default(),
    };
    let table = [
        (Failure::BadFile(Setting::TokenFile), ErrorKind::InvalidConfig, "`VaultAuth::TokenFile`"),
        (Failure::Conflict, ErrorKind::Conflict, "read the row again"),
        (Failure::Deleted, ErrorKind::NotFound, "undelete"),
        (Failure::Denied(Right::Create), ErrorKind::Denied, "`create` on `kv/data/idp/*`"),
        (Failure::Denied(Right::Update), ErrorKind::Denied, "`update` on `kv/data/idp/*`"),
        (Failure::Denied(Right::Purge), ErrorKind::Denied, "`delete` on `kv/metadata/idp/*`"),
        (Failure::Failed(500), ErrorKind::Unavailable, "status 500"),
        (Failure::Foreign(200), ErrorKind::Unavailable, "`VaultKv2::builder`"),
        (Failure::Lost(Cause::Cut), ErrorKind::Unavailable, "broke off"),
        (Failure::Lost(Cause::Oversized), ErrorKind::Unavailable, "1 MiB"),
        (Failure::Lost(Cause::Timeout), ErrorKind::Unavailable, "in time"),
        (Failure::LoginRefused(AuthKind::AppRole), ErrorKind::Denied, "`AppRole::with_secret_id_file`"),
        (Failure::LoginRefused(AuthKind::Kubernetes), ErrorKind::Denied, "`Kubernetes::new`"),
        (Failure::LoginRefused(AuthKind::Agent), ErrorKind::Denied, "the agent's token: look at `auto_auth`"),
        (Failure::MayNotRenew, ErrorKind::Denied, "default policy"),
        (Failure::Missing, ErrorKind::NotFound, "rotate"),
        (Failure::NoNamespace, ErrorKind::InvalidConfig, "`VaultKv2Builder::namespace`"),
        (Failure::NoRoute, ErrorKind::InvalidConfig, "`VaultKv2Builder::mount`"),
        (Failure::NotApplied, ErrorKind::Unavailable, "no trace"),
        (Failure::NotRenewable, ErrorKind::Denied, "-period"),
        (Failure::NotSent(Cause::Refused), ErrorKind::Unavailable, "http://127.0.0.1:8200 refuses"),
        (Failure::NotSent(Cause::ClientCertificate), ErrorKind::Unavailable, "`VaultKv2Builder::client_cert`"),
        (Failure::NotSent(Cause::CaAsServer), ErrorKind::Unavailable, "is that of a CA"),
        (Failure::NotSent(Cause::Forbidden), ErrorKind::Unavailable, "who owns the socket"),
        (Failure::NotSent(Cause::Expired), ErrorKind::Unavailable, "expired"),
        (Failure::NotSent(Cause::OtherName), ErrorKind::Unavailable, "another name"),
        (Failure::NotSent(Cause::UnknownIssuer), ErrorKind::Unavailable, "`VaultKv2Builder::ca_cert_pem`"),
        (Failure::NotSent(Cause::ConnectTimeout), ErrorKind::Unavailable, "is the host up"),
        (Failure::NotSent(Cause::Dns), ErrorKind::Unavailable, "`VaultKv2::builder`"),
        (Failure::NotSent(Cause::Tls), ErrorKind::Unavailable, "`VaultKv2Builder::ca_cert_pem`"),
        (Failure::NotSent(Cause::Other), ErrorKind::Unavailable, "failed"),
        (Failure::NotVersioned, ErrorKind::InvalidConfig, "KV version 1"),
        (Failure::OtherVersion, ErrorKind::Unavailable, "another version"),
        (Failure::OtherWrapping(Setting::SecretId), ErrorKind::Denied, "the secret id of `AppRole::new`"),
        (Failure::PastLongestLife, ErrorKind::Denied, "-period"),
        (Failure::Quota, ErrorKind::Throttled, "quota"),
        (Failure::Redirected, ErrorKind::Unavailable, "never followed"),
        (Failure::Rejected(400), ErrorKind::Internal, "status 400"),
        (Failure::Sealed, ErrorKind::Unavailable, "unseal it"),
        (Failure::SpentWrapping(Setting::SecretIdFile), ErrorKind::Denied, "`AppRole::with_secret_id_file`"),
        (Failure::StaleStandby, ErrorKind::Unavailable, "not caught up"),
        (Failure::Standby, ErrorKind::Unavailable, "election"),
        (Failure::TokenDead, ErrorKind::Denied, "replace the token of `VaultAuth::Token`"),
        (Failure::TooLarge, ErrorKind::InvalidSecret, "too large"),
        (Failure::Unreadable, ErrorKind::Malformed, "`clientSecret`"),
        (Failure::Upgrading, ErrorKind::Unavailable, "upgraded"),
    ];
    for (failure, kind, says) in table {
        let error = failure.at(&site);
        assert_eq!(error.kind(), kind, "{failure:?}");
        assert!(error.to_string().contains(says), "{error}");
    }
}
