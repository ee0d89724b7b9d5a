//! A server on a socket, and clients that write what they like.

use std::net::SocketAddr;
use std::sync::Arc;

use agentidp_server::app::App;
use agentidp_server::server::{self, Bounds};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The head of a request whose body has 29 bytes.
pub(crate) const TOKEN_REQUEST: &str = "POST /api/v1/token HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\
    Content-Length: 29\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n";
/// Its body: the server finds that the credentials are missing.
pub(crate) const TOKEN_BODY: &str = "grant_type=client_credentials";

/// A server that serves until it is told to stop.
pub(crate) struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Served {
    pub(crate) async fn within(bounds: Bounds, app: &Arc<App>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let server = tokio::spawn(server::run(bounds, listener, Arc::clone(app), shutdown));
        Self { address, stop, server }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection on which `text` was written.
    pub(crate) async fn client(&self, text: &str) -> Wire {
        Wire::to(self.address, text).await
    }

    /// A connection with a request that is in a handler's hands: the server has asked for its body.
    pub(crate) async fn request_in_progress(&self) -> Wire {
        let mut wire = self.client(TOKEN_REQUEST).await;
        let mut interim = [0; 25];
        wire.0.read_exact(&mut interim).await.unwrap();
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        wire
    }

    /// Tells the server to stop and waits until it accepts no more; the handle gives its end.
    pub(crate) async fn stop(self) -> JoinHandle<std::io::Result<()>> {
        let address = self.address;
        let server = self.ask_to_stop();
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        server
    }

    /// Tells the server to stop; the handle gives its end.
    pub(crate) fn ask_to_stop(self) -> JoinHandle<std::io::Result<()>> {
        self.stop.send(()).unwrap();
        self.server
    }
}

/// A client's end of a connection.
pub(crate) struct Wire(pub(crate) TcpStream);

impl Wire {
    /// A connection on which `text` was written.
    pub(crate) async fn to(address: SocketAddr, text: &str) -> Self {
        let mut wire = Self(TcpStream::connect(address).await.unwrap());
        wire.write(text).await;
        wire
    }

    /// What comes up to `end`.
    pub(crate) async fn read_until(&mut self, end: &str) -> String {
        let mut read = Vec::new();
        while !read.ends_with(end.as_bytes()) {
            read.push(self.0.read_u8().await.unwrap());
        }
        String::from_utf8(read).unwrap()
    }

    pub(crate) async fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Everything up to the end of the connection.
    pub(crate) async fn rest(mut self) -> String {
        let mut text = String::new();
        // A reset after an answer is an end, too.
        let _ = self.0.read_to_string(&mut text).await;
        text
    }
}
