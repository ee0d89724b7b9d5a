//! Requests that the token endpoints get.

use std::error::Error;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use uuid::Uuid;

use super::openapi;
use super::site::{Reply, Site};
use agentidp_server::routes;

/// Where requests come from unless a test says otherwise.
pub(crate) const PEER: ([u8; 4], u16) = ([192, 0, 2, 7], 4711);

const FORM: &str = "application/x-www-form-urlencoded";

impl Site {
    /// Any request with any body.
    pub(crate) async fn exchange<B>(&self, request: hyper::Request<B>) -> Reply
    where
        B: Body<Data = Bytes> + Send + Sync + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let (head, body) = routes::handle(&self.app, request, PEER.into()).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let reply = Reply { status: head.status.as_u16(), headers: head.headers, text };
        openapi::hold(&method, &path, &reply);
        reply
    }

    /// A bare request to `path`, which is the whole of it.
    pub(crate) async fn bare(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        let request = hyper::Request::builder().method(method).uri(path);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.exchange(request.body(Full::default()).unwrap()).await
    }

    /// `POST /token` with a raw form.
    pub(crate) async fn token_form(&self, form: impl Into<Bytes>) -> Reply {
        self.token_with(&[], form).await
    }

    /// `POST /token` with a raw form and further headers.
    pub(crate) async fn token_with(&self, headers: &[(&str, &str)], form: impl Into<Bytes>) -> Reply {
        let request = hyper::Request::builder().method("POST").uri("/api/v1/token").header(CONTENT_TYPE, FORM);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.exchange(request.body(Full::new(form.into())).unwrap()).await
    }

    /// A token request as the documented client sends it.
    pub(crate) async fn grant(&self, client_id: impl ToString, secret: &str) -> Reply {
        self.token_form(grant_form(client_id, secret)).await
    }

    /// A token with all scopes, got by the documented request.
    pub(crate) async fn granted(&self, client_id: Uuid, secret: &str) -> String {
        let reply = self.grant(client_id, secret).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// A form for one of the endpoints that look at tokens.
    pub(crate) async fn about_token(&self, bearer: &str, endpoint: &str, form: &str) -> Reply {
        let request = hyper::Request::builder()
            .method("POST")
            .uri(format!("/api/v1/token/{endpoint}"))
            .header(AUTHORIZATION, format!("Bearer {bearer}"))
            .header(CONTENT_TYPE, FORM);
        self.exchange(request.body(Full::new(Bytes::from(form.to_owned()))).unwrap()).await
    }
}

impl Reply {
    /// Status and code of an OAuth refusal.
    pub(crate) fn refusal(&self) -> (u16, String) {
        (self.status, self.json()["error"].as_str().unwrap_or_default().to_owned())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// The form of a token request for all scopes.
pub(crate) fn grant_form(client_id: impl ToString, secret: &str) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    form.append_pair("client_id", &client_id.to_string());
    form.append_pair("client_secret", secret);
    form.finish()
}
