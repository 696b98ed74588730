//! The body of a request that brings events or rows: plain or gzip, within its limits of size and time.

use crate::http::{RETRY_AFTER_S, refuse};
use crate::node::Node;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use flate2::read::MultiGzDecoder;
use futures::StreamExt as _;
use serde_json::json;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

/// How long a sender may take to send a body.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// How long a body is listened to whose sender is turned away.
const TURNED_AWAY_WITHIN: Duration = Duration::from_secs(5);
/// So many times the limit is read of a body that is too large.
const THROWN_AWAY: usize = 4;
/// What some programs put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A whole body. It keeps its place among those that are read at once until it is worked off.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    _place: OwnedSemaphorePermit,
}

impl FromRequest<Arc<Node>> for Posted {
    type Rejection = Response;

    async fn from_request(request: Request, node: &Arc<Node>) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        // Before the body is read: what waits for a place stays with its sender.
        let Ok(place) = Arc::clone(&node.doors().bodies).try_acquire_owned() else {
            return Err(busy(node, body).await);
        };
        let body = whole(node, &parts.headers, body).await?;
        let marked = body.starts_with(BYTE_ORDER_MARK);
        let body = if marked { body.slice(BYTE_ORDER_MARK.len()..) } else { body };
        Ok(Self { headers: parts.headers, body, _place: place })
    }
}

/// The whole body, unpacked; an answer where there is none.
async fn whole(node: &Node, headers: &HeaderMap, body: Body) -> Result<Bytes, Response> {
    let most = node.config().limits.request_bytes;
    let over = || too_large(&format!("a body may have {most} bytes, unpacked: send it in parts"));
    let body = match tokio::time::timeout(BODY_WITHIN, read(body, most)).await {
        Ok(Ok(Some(body))) => body,
        Ok(Ok(None)) => return Err(over()),
        Ok(Err(error)) => return Err(refuse(&Status::invalid_argument(error.to_string()))),
        Err(_) => {
            let said = format!("the body did not come within {} s", BODY_WITHIN.as_secs());
            let said = axum::Json(json!({ "error": said }));
            return Err((StatusCode::REQUEST_TIMEOUT, said).into_response());
        }
    };
    let encoding = headers.get(CONTENT_ENCODING).map_or("", |name| name.to_str().unwrap_or("?"));
    match encoding.to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(body),
        "gzip" => {
            let mut plain = Vec::new();
            // One byte over the limit tells a larger body from one that fits.
            let mut unpacked = MultiGzDecoder::new(&*body).take(most as u64 + 1);
            match unpacked.read_to_end(&mut plain) {
                Ok(_) if plain.len() > most => Err(over()),
                Ok(_) => Ok(plain.into()),
                Err(error) => {
                    Err(refuse(&Status::invalid_argument(format!("the body is not gzip: {error}"))))
                }
            }
        }
        _ => {
            let said = format!("content-encoding {encoding:?}: send the body plain or as gzip");
            let said = axum::Json(json!({ "error": said }));
            Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, said).into_response())
        }
    }
}

/// A body of at most so many bytes; nothing where it is larger. What is too large is read for a while
/// and thrown away: a sender that is cut off while it writes does not hear why.
async fn read(body: Body, most: usize) -> Result<Option<Bytes>, axum::Error> {
    let mut parts = body.into_data_stream();
    let mut whole = BytesMut::new();
    let mut size = 0;
    while let Some(part) = parts.next().await {
        let part = part?;
        size += part.len();
        if size <= most {
            whole.extend_from_slice(&part);
        } else if size > most * THROWN_AWAY {
            break;
        }
    }
    Ok((size <= most).then(|| whole.freeze()))
}

pub(crate) fn too_large(said: &str) -> Response {
    (StatusCode::PAYLOAD_TOO_LARGE, axum::Json(json!({ "error": said }))).into_response()
}

/// As many bodies as may be are in memory: the sender keeps this one.
async fn busy(node: &Node, body: Body) -> Response {
    let most = node.config().limits.request_bytes;
    drop(tokio::time::timeout(TURNED_AWAY_WITHIN, throw_away(body, most)).await);
    let said = "too many requests are being read: send it again in a second";
    let said = axum::Json(json!({ "error": said }));
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, RETRY_AFTER_S)], said).into_response()
}

async fn throw_away(body: Body, most: usize) {
    let mut parts = body.into_data_stream();
    let mut size = 0;
    while let Some(Ok(part)) = parts.next().await {
        size += part.len();
        if size > most {
            return;
        }
    }
}
