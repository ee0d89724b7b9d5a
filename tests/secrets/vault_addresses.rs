//! Addresses as Vault's own clients have them, on a real OpenBao: behind a path, behind a socket, under another name.

use std::net::SocketAddr;

use agentidp_secrets::vault::{VaultKv2, VaultKv2Builder};
use agentidp_secrets::{ErrorKind, SecretBackend};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinSet;

use crate::certificates::Authority;
use crate::support;
use crate::support::bao::tls::TlsListener;
use crate::support::bao::{Bao, Mount};
use crate::vault_logins::works;

fn at(address: &str, mount: &Mount) -> VaultKv2Builder {
    VaultKv2::builder(address, mount.policy_token.as_str()).mount(mount.name.as_str())
}

/// Takes `/vault` off the path of each request, as a gateway does, and refuses a request without it.
async fn gateway(server: SocketAddr) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/vault", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            connections.spawn(one_request(client, server));
        }
    });
    (address, tasks)
}

/// One connection has one request: the head is rewritten so, and the rest goes through.
async fn one_request(mut client: TcpStream, server: SocketAddr) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.contains(" /vault/v1/"), "{head}");
    let head = head.replacen(" /vault/v1/", " /v1/", 1).replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let mut server = TcpStream::connect(server).await.unwrap();
    server.write_all(head.as_bytes()).await.unwrap();
    relay(client, server).await;
}

async fn relay(mut client: impl AsyncRead + AsyncWrite + Unpin, mut server: TcpStream) {
    // Either side may end it.
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

fn server_of(bao: &Bao) -> SocketAddr {
    bao.address().strip_prefix("http://").unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_address_may_have_a_path() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let (address, _gateway) = gateway(server_of(bao)).await;
    for (number, address) in [address.clone(), format!("{address}/")].iter().enumerate() {
        works(&at(address, &mount).build().unwrap(), &format!("path-{number}")).await;
    }
}

#[tokio::test]
async fn an_address_may_be_a_socket_of_this_machine() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let (folder, server) = (tempfile::tempdir().unwrap(), server_of(bao));
    let address = format!("unix://{}", folder.path().join("vault socket").display());
    let absent = at(&address, &mount).build().unwrap().probe().await.unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::Unavailable);
    assert!(absent.to_string().contains(&format!("Vault at {address} refuses connections")), "{absent}");

    let listener = UnixListener::bind(folder.path().join("vault socket")).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            connections.spawn(async move { relay(client, TcpStream::connect(server).await.unwrap()).await });
        }
    });
    works(&at(&address, &mount).build().unwrap(), "socket").await;
    // Beside a node that is not there.
    works(&at(&format!("http://127.0.0.1:1,{address}"), &mount).build().unwrap(), "socket-of-two").await;
}

#[tokio::test]
async fn the_certificate_may_be_for_another_name_than_the_host() {
    let ca = Authority::new("ours");
    let pair = ca.server(&["vault.internal"]);
    let listener = TlsListener { certificate: &pair.certificate, key: &pair.key, client_ca: None };
    let (bao, addresses) = Bao::start_with_tls(&[listener]).await;
    let mount = bao.fresh_mount(2).await;
    let port = addresses[0].rsplit_once(':').unwrap().1;
    for (number, host) in ["127.0.0.1", "localhost"].iter().enumerate() {
        let builder = || at(&format!("https://{host}:{port}"), &mount).ca_cert_pem(ca.pem.as_str());
        let refused = builder().build().unwrap().probe().await.unwrap_err().to_string();
        assert!(
            refused.contains("for another name") && refused.contains("`VaultKv2Builder::tls_server_name`"),
            "{refused}"
        );
        let misnamed = builder().tls_server_name("vault.example").build().unwrap().probe().await.unwrap_err();
        assert!(misnamed.to_string().contains("for another name"), "{misnamed}");
        works(&builder().tls_server_name("vault.internal").build().unwrap(), &format!("named-{number}")).await;
    }
    // Each node by its own host.
    let both = format!("https://127.0.0.1:1,https://127.0.0.1:{port}");
    works(
        &at(&both, &mount).ca_cert_pem(ca.pem.as_str()).tls_server_name("vault.internal").build().unwrap(),
        "named-of-two",
    )
    .await;
    let unknown = at("https://nowhere.invalid", &mount).tls_server_name("vault.internal").build().unwrap();
    let error = unknown.probe().await.unwrap_err();
    assert!(error.to_string().contains("the host of Vault's address https://nowhere.invalid is unknown"), "{error}");
}

#[tokio::test]
async fn the_namespace_at_the_top_has_several_names() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    for (number, name) in ["", "/", "root"].iter().enumerate() {
        works(&at(bao.address(), &mount).namespace(*name).build().unwrap(), &format!("top-{number}")).await;
    }
}
