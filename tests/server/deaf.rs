//! Ways to PostgreSQL on which notifications get lost, or take their time.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What becomes of a notification.
#[derive(Clone, Copy)]
enum Way {
    /// It is lost if its channel begins so.
    DeafTo(&'static [u8]),
    /// It takes so long, and so does whatever comes behind it.
    Slow(Duration),
}

/// The address of a way to PostgreSQL on which notifications get lost whose channel begins so.
pub(crate) async fn deaf_to(url: &str, channel: &'static [u8]) -> String {
    way(url, Way::DeafTo(channel)).await
}

/// The address of a way to PostgreSQL on which each notification takes so long.
pub(crate) async fn slow(url: &str, delay: Duration) -> String {
    way(url, Way::Slow(delay)).await
}

/// Where such a way listens, where it leads to, and its address for a server.
pub(crate) async fn in_front_of(url: &str) -> (TcpListener, String, String) {
    let (rest, database) = url.rsplit_once('/').unwrap();
    let target = rest.rsplit_once('@').unwrap().1.to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, target, format!("postgres://agentidp@{address}/{database}?sslmode=disable"))
}

async fn way(url: &str, way: Way) -> String {
    let (listener, target, url) = in_front_of(url).await;
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(&target).await.unwrap();
            let ((mut from_client, to_client), (from_server, mut to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(pass(from_server, to_client, way));
        }
    });
    url
}

/// Each message is a letter, its length (which counts itself), and the rest.
async fn pass(
    mut from: impl AsyncReadExt + Unpin + Send,
    mut to: impl AsyncWriteExt + Unpin + Send,
    way: Way,
) -> std::io::Result<()> {
    loop {
        let (letter, length) = (from.read_u8().await?, from.read_u32().await?);
        let mut rest = vec![0; length as usize - 4];
        from.read_exact(&mut rest).await?;
        // A notification: the sender's process, the channel, the payload.
        match way {
            Way::DeafTo(channel) if letter == b'A' && rest[4..].starts_with(channel) => continue,
            Way::Slow(delay) if letter == b'A' => tokio::time::sleep(delay).await,
            Way::DeafTo(_) | Way::Slow(_) => {}
        }
        to.write_u8(letter).await?;
        to.write_u32(length).await?;
        to.write_all(&rest).await?;
        to.flush().await?;
    }
}
