//! A way to PostgreSQL on which notifications get lost.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The address of a way to PostgreSQL on which notifications get lost whose channel begins so.
pub(crate) async fn deaf_to(url: &str, channel: &'static [u8]) -> String {
    let (rest, database) = url.rsplit_once('/').unwrap();
    let target = rest.rsplit_once('@').unwrap().1.to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(&target).await.unwrap();
            let ((mut from_client, to_client), (from_server, mut to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(without_notifications(from_server, to_client, channel));
        }
    });
    format!("postgres://agentidp@{address}/{database}?sslmode=disable")
}

/// Each message is a letter, its length (which counts itself), and the rest.
async fn without_notifications(
    mut from: impl AsyncReadExt + Unpin + Send,
    mut to: impl AsyncWriteExt + Unpin + Send,
    channel: &'static [u8],
) -> std::io::Result<()> {
    loop {
        let (letter, length) = (from.read_u8().await?, from.read_u32().await?);
        let mut rest = vec![0; length as usize - 4];
        from.read_exact(&mut rest).await?;
        // A notification: the sender's process, the channel, the payload.
        if letter == b'A' && rest[4..].starts_with(channel) {
            continue;
        }
        to.write_u8(letter).await?;
        to.write_u32(length).await?;
        to.write_all(&rest).await?;
        to.flush().await?;
    }
}
