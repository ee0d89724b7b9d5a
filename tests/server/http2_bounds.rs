//! The bounds of HTTP/2, by clients that write what they like.

use std::time::Duration;

use agentidp_server::server::Bounds;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::site::Site;
use crate::wire::Served;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[tokio::test]
async fn clients_are_told_the_bounds() {
    let site = Site::bcrypt().await;
    let served = Served::within(Bounds::default(), &site.app).await;
    let mut stream = TcpStream::connect(served.address()).await.unwrap();
    stream.write_all(&[PREFACE, &frame(4, 0, 0, &[])].concat()).await.unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4, "SETTINGS");
    let mut settings = vec![0; usize::from(head[2])];
    stream.read_exact(&mut settings).await.unwrap();
    // MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_HEADER_LIST_SIZE (RFC 9113 §6.5.2).
    for (name, value) in [(3, 100), (4, 64 * 1024), (6, 16 * 1024_u32)] {
        let setting = [&[0, name][..], &value.to_be_bytes()].concat();
        assert!(settings.chunks(6).any(|found| found == setting), "{name}: {settings:?}");
    }
}

/// One says what it speaks and nothing more; one asks, and then answers neither pings nor farewells.
#[tokio::test]
async fn a_client_that_falls_silent_is_sent_away() {
    let site = Site::bcrypt().await;
    let bounds = Bounds { header_timeout: Duration::from_millis(100), ..Bounds::default() };
    let served = Served::within(bounds, &site.app).await;
    let request = [frame(4, 0, 0, &[]), frame(1, 5, 1, &[0x82, 0x86, 0x84])].concat();
    for rest in [&[], &request[..]] {
        let mut silent = TcpStream::connect(served.address()).await.unwrap();
        silent.write_all(&[PREFACE, rest].concat()).await.unwrap();
        let _reset = silent.read_to_end(&mut Vec::new()).await;
    }
}

/// CVE-2023-44487: requests that are taken back at once would cost the client nothing and the server their work.
#[tokio::test]
async fn a_client_that_takes_all_requests_back_is_sent_away() {
    let site = Site::bcrypt().await;
    let served = Served::within(Bounds::default(), &site.app).await;
    let mut stream = TcpStream::connect(served.address()).await.unwrap();
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(4, 0, 0, &[])); // SETTINGS
    for stream in (1..400).step_by(2) {
        // HEADERS: GET, http, `/`, and their end; RST_STREAM: CANCEL.
        bytes.extend(frame(1, 5, stream, &[0x82, 0x86, 0x84]));
        bytes.extend(frame(3, 0, stream, &[0, 0, 0, 8]));
    }
    stream.write_all(&bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert_eq!(farewell(&answer), Some(11), "ENHANCE_YOUR_CALM");
}

/// A frame of HTTP/2 (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The error code of the last GOAWAY among `frames`.
fn farewell(mut frames: &[u8]) -> Option<u32> {
    let mut code = None;
    while let Some((head, rest)) = frames.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (payload, rest) = rest.split_at_checked(length)?;
        if head[3] == 7 {
            code = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        frames = rest;
    }
    code
}
