//! Limits that the server is measured against, on the same cores and with the same libraries.
//!
//! `load-limits hello PORT`: hyper alone, 13 bytes for every request.
//! `load-limits token ALGORITHM PORT`: the ceiling of a token endpoint: hyper and a signer, and nothing is checked.
//! `load-limits sign ALGORITHM COUNT`: the signer alone, so many signatures on every core.
//!
//! ALGORITHM is `RS256`, `ES256` or `EdDSA`.

mod signer;

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use signer::Signer;

/// A limit has to be as fast as one can make it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What is answered.
enum Answer {
    Hello,
    Token(Signer),
}

impl Answer {
    fn body(&self) -> Result<Bytes> {
        match self {
            Self::Hello => Ok(Bytes::from_static(b"Hello, World!")),
            Self::Token(signer) => Ok(Bytes::from(format!(
                r#"{{"access_token":"{}","token_type":"Bearer","expires_in":3600,"scope":"agents:read"}}"#,
                signer.token()?
            ))),
        }
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["hello", port] => serve(Answer::Hello, port.parse()?),
        ["token", algorithm, port] => serve(Answer::Token(Signer::generate(algorithm)?), port.parse()?),
        ["sign", algorithm, count] => sign(&Signer::generate(algorithm)?, count.parse()?),
        _ => Err("usage: load-limits hello PORT | token ALGORITHM PORT | sign ALGORITHM COUNT".into()),
    }
}

/// `count` signatures on each core; whoever started it takes the time.
fn sign(signer: &Signer, count: u64) -> Result<()> {
    let one = || (0..count).try_for_each(|_| signer.token().map(drop));
    thread::scope(|scope| {
        let threads: Vec<_> = (0..thread::available_parallelism()?.get()).map(|_| scope.spawn(one)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })
}

fn serve(answer: Answer, port: u16) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let answer = Arc::new(answer);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let service = service_fn(move |request| respond(Arc::clone(&answer), request));
                // A client that goes away is no news.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}

/// Reads the whole request, as a server has to, and answers.
async fn respond(
    answer: Arc<Answer>,
    request: Request<Incoming>,
) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let read = request.into_body().collect().await;
    let mut response = Response::new(Full::default());
    match (read, answer.body()) {
        (Ok(_), Ok(body)) => *response.body_mut() = Full::new(body),
        _ => *response.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR,
    }
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
