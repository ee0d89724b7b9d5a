//! TLS to a real OpenBao: whom we trust, who trusts us, and what is said when somebody does not.

use agentidp_secrets::vault::auth::ClientCert;
use agentidp_secrets::vault::{VaultKv2, VaultKv2Builder};
use agentidp_secrets::{Error, ErrorKind, SecretBackend};

use crate::certificates::{Authority, Pair};
use crate::support::bao::tls::TlsListener;
use crate::support::bao::{Bao, Mount};
use crate::vault_logins::works;

fn builder(address: &str, mount: &Mount, trusted: &Authority) -> VaultKv2Builder {
    let builder = VaultKv2::builder(address, mount.policy_token.as_str()).mount(mount.name.as_str());
    builder.ca_cert_pem(trusted.pem.as_str())
}

async fn refused(builder: VaultKv2Builder, says: &[&str]) {
    let vault = builder.build().unwrap();
    let tried: [Error; 2] = [vault.probe().await.unwrap_err(), vault.check().await.unwrap_err()];
    for error in tried {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        for text in says {
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}

#[tokio::test]
async fn each_side_is_told_why_the_other_does_not_trust_it() {
    let (ours, clients, other) = (Authority::new("ours"), Authority::new("clients"), Authority::new("other"));
    let (sound, misnamed) = (ours.server(&["127.0.0.1"]), ours.server(&["vault.example"]));
    let (expired, as_ca) = (ours.expired(&["127.0.0.1"]), ours.server_as_ca(&["127.0.0.1"]));
    let mutual = TlsListener { client_ca: Some(&clients.pem), ..plain(&sound) };
    let (bao, addresses) =
        Bao::start_with_tls(&[plain(&sound), mutual, plain(&misnamed), plain(&expired), plain(&as_ca)]).await;
    let mount = bao.fresh_mount(2).await;
    let [sound, mutual, misnamed, expired, as_ca] = addresses.as_slice() else { panic!("five listeners") };

    works(&builder(sound, &mount, &ours).build().unwrap(), "private-ca").await;
    refused(builder(sound, &mount, &other), &["not of a trusted CA", "`VaultKv2Builder::ca_cert_pem`"]).await;
    let without = VaultKv2::builder(sound.as_str(), mount.policy_token.as_str()).mount(mount.name.as_str());
    refused(without, &["not of a trusted CA", "`VaultKv2Builder::ca_cert_pem`"]).await;
    refused(builder(misnamed, &mount, &ours), &["for another name", "`VaultKv2::builder`"]).await;
    refused(builder(expired, &mount, &ours), &["expired"]).await;
    refused(builder(as_ca, &mount, &ours), &["is that of a CA", "`VaultKv2Builder::ca_cert_pem`"]).await;

    let shown = |authority: &Authority| {
        let own = authority.client();
        builder(mutual, &mount, &ours).client_cert(ClientCert::new(own.certificate, own.key))
    };
    works(&shown(&clients).build().unwrap(), "mutual").await;
    refused(builder(mutual, &mount, &ours), &["`VaultKv2Builder::client_cert`"]).await;
    refused(shown(&other), &["`VaultKv2Builder::client_cert`"]).await;
}

fn plain(pair: &Pair) -> TlsListener<'_> {
    TlsListener { certificate: &pair.certificate, key: &pair.key, client_ca: None }
}

#[test]
fn a_key_of_another_certificate_is_refused_at_the_start() {
    let clients = Authority::new("clients");
    let mixed = ClientCert::new(clients.client().certificate, clients.client().key);
    let error = VaultKv2::builder("https://127.0.0.1:1", "t").client_cert(mixed).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains("`ClientCert::new`"), "{error}");
}
