//! Request bodies: read when somebody asks for them, never more than the limit, never for longer than the timeout.

use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Collected, LengthLimitError, Limited};
use hyper::body::Body as _;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use zeroize::Zeroize;

use crate::error::{ApiError, ApiResult};

/// A body of any kind.
pub type Body = BoxBody<Bytes, BoxError>;

/// What reading a body may fail with.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Media type of token requests.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// Media type of everything else.
pub const JSON: &str = "application/json";

/// Reads a body to its end.
///
/// # Errors
/// `PayloadTooLarge`, `RequestTimeout`; `Validation` when the client broke off or its framing is broken.
pub async fn read(body: Body, limit: usize, timeout: Duration) -> ApiResult<Bytes> {
    if body.size_hint().lower() > limit as u64 {
        return Err(ApiError::PayloadTooLarge(limit));
    }
    match tokio::time::timeout(timeout, collect(body, limit)).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::PayloadTooLarge(limit)),
        Ok(Err(_)) => Err(ApiError::field("body", "could not be read to its end")),
        Err(_) => Err(ApiError::RequestTimeout),
    }
}

/// Collects a body of at most `limit` bytes. On its own because a future that is held by an `async fn` forgets that
/// [`BoxError`] is `'static`, and could then not be spawned.
fn collect(body: Body, limit: usize) -> impl Future<Output = Result<Collected<Bytes>, BoxError>> + Send {
    Limited::new(body, limit).collect()
}

/// Makes sure that a body has the media type `expected`. Parameters such as `charset` do not matter.
///
/// # Errors
/// `UnsupportedMediaType`.
pub fn expect_media_type(headers: &HeaderMap, expected: &'static str) -> ApiResult<()> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (value, another) = (values.next().and_then(|value| value.to_str().ok()), values.next());
    let essence = value.and_then(|value| value.split(';').next()).map(str::trim);
    match (essence, another) {
        (Some(essence), None) if essence.eq_ignore_ascii_case(expected) => Ok(()),
        _ => Err(ApiError::UnsupportedMediaType(expected)),
    }
}

/// Wipes a body that held a secret, where nobody shares it. Hyper's own read buffer is out of reach.
pub fn wipe(body: Bytes) {
    if let Ok(mut body) = body.try_into_mut() {
        body.as_mut().zeroize();
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    fn full(bytes: usize) -> Body {
        Full::new(Bytes::from(vec![b'a'; bytes])).map_err(Into::into).boxed()
    }

    /// Frames without an announced length.
    fn frames(frames: Vec<Result<&'static str, BoxError>>) -> Body {
        let frames = frames.into_iter().map(|frame| frame.map(|text| Frame::data(Bytes::from_static(text.as_bytes()))));
        StreamBody::new(futures_util::stream::iter(frames)).boxed()
    }

    #[tokio::test]
    async fn the_limit_holds_with_and_without_an_announced_length() {
        let second = Duration::from_secs(1);
        assert_eq!(read(full(8), 8, second).await.unwrap().len(), 8);
        assert!(matches!(read(full(9), 8, second).await, Err(ApiError::PayloadTooLarge(8))));
        let streamed = frames(vec![Ok("12345"), Ok("6789")]);
        assert!(matches!(read(streamed, 8, second).await, Err(ApiError::PayloadTooLarge(8))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let stuck = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, BoxError>>()).boxed();
        assert!(matches!(read(stuck, 8, Duration::from_secs(10)).await, Err(ApiError::RequestTimeout)));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_the_clients_fault() {
        let broken = frames(vec![Ok("123"), Err("reset".into())]);
        assert!(matches!(read(broken, 8, Duration::from_secs(1)).await, Err(ApiError::Validation(_))));
    }

    #[test]
    fn media_types_are_compared_without_parameters() {
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_TYPE, value.parse().unwrap());
            }
            headers
        };
        for fine in ["application/json", "Application/JSON", "application/json; charset=utf-8", "application/json ;a=b"]
        {
            assert!(expect_media_type(&headers(&[fine]), JSON).is_ok(), "{fine}");
        }
        for refused in [&[][..], &[""], &["text/plain"], &["application/jsonp"], &[JSON, JSON], &[FORM]] {
            assert!(expect_media_type(&headers(refused), JSON).is_err(), "{refused:?}");
        }
    }
}
