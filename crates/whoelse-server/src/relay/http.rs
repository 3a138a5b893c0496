//! The little HTTP that comes before the relay's WebSocket, and two questions that iroh's clients ask.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};

use base64ct::{Base64, Encoding};
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use iroh_relay::http::{ProtocolVersion, RELAY_PATH, RELAY_PROBE_PATH};
use iroh_relay::server::streams::MaybeTlsStream;

/// Longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Where iroh's clients ask whether something stands between.
const PORTAL_PATH: &str = "/generate_204";

/// What they send there, and want to see again.
const PORTAL_CHALLENGE: HeaderName = HeaderName::from_static("x-iroh-challenge");
const PORTAL_RESPONSE: HeaderName = HeaderName::from_static("x-iroh-response");

/// Longest such challenge, in bytes.
const CHALLENGE_BYTES_MAX: usize = 63;

/// What is hashed behind the key of a WebSocket (RFC 6455, section 1.3).
const WEBSOCKET_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const ELSE: &str = "This is a whoelse server. It speaks JSON: use `whoelse client` to talk here.\n";

/// A connection that has become a WebSocket.
pub(super) struct Upgraded {
    pub(super) line: MaybeTlsStream,
    pub(super) version: ProtocolVersion,
    pub(super) parts: Parts,
}

/// A request for one that was answered with yes.
struct Wanted {
    upgrade: OnUpgrade,
    version: ProtocolVersion,
    parts: Parts,
}

/// Answers requests until one makes the connection a WebSocket, or it ends.
pub(super) async fn serve(line: MaybeTlsStream) -> io::Result<Option<Upgraded>> {
    let slot = Arc::new(Mutex::new(None));
    let service = {
        let slot = Arc::clone(&slot);
        service_fn(move |request| std::future::ready(Ok::<_, Infallible>(answer(request, &slot))))
    };
    http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .header_read_timeout(None) // there is a deadline for all of it
        .serve_connection(TokioIo::new(line), service)
        .with_upgrades()
        .await
        .map_err(io::Error::other)?;
    let wanted: Option<Wanted> = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(Wanted { upgrade, version, parts }) = wanted else { return Ok(None) };
    let upgraded = upgrade.await.map_err(io::Error::other)?;
    let raw = upgraded
        .downcast::<TokioIo<MaybeTlsStream>>()
        .map_err(|_| io::Error::other("another kind of connection than was served"))?;
    if !raw.read_buf.is_empty() {
        return Err(ErrorKind::InvalidData.into()); // it speaks before it is answered
    }
    Ok(Some(Upgraded { line: raw.io.into_inner(), version, parts }))
}

fn answer(request: Request<Incoming>, slot: &Mutex<Option<Wanted>>) -> Response<String> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, RELAY_PATH) => upgrade(request, slot)
            .unwrap_or_else(|why| text(StatusCode::BAD_REQUEST, format!("{why}\n"))),
        (&Method::GET, RELAY_PROBE_PATH) => Response::default(),
        (&Method::GET, PORTAL_PATH) => portal(request.headers()),
        _ => {
            let mut response = text(StatusCode::BAD_REQUEST, ELSE.into());
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }
    }
}

fn text(status: StatusCode, text: String) -> Response<String> {
    let mut response = Response::new(text);
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Agrees to a WebSocket (RFC 6455, section 4.2).
fn upgrade(
    mut request: Request<Incoming>,
    slot: &Mutex<Option<Wanted>>,
) -> Result<Response<String>, &'static str> {
    let headers = request.headers();
    let said = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if !said(UPGRADE).is_some_and(|word| word.eq_ignore_ascii_case("websocket")) {
        return Err("Upgrade must be websocket.");
    }
    if said(SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err("Sec-WebSocket-Version must be 13.");
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or("Sec-WebSocket-Key is missing.")?;
    let accept = accept_key(key);
    let version = said(SEC_WEBSOCKET_PROTOCOL)
        .into_iter()
        .flat_map(|words| words.split(','))
        .filter_map(|word| ProtocolVersion::match_from_str(word.trim()))
        .max()
        .ok_or("Sec-WebSocket-Protocol names no version of the relay that is known here.")?;
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Wanted { upgrade, version, parts });
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_PROTOCOL, version.to_header_value());
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

fn accept_key(key: &HeaderValue) -> HeaderValue {
    // What RFC 6455 asks for; nothing rests on its strength.
    let mut hash = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key.as_bytes());
    hash.update(WEBSOCKET_GUID);
    let text = Base64::encode_string(hash.finish().as_ref());
    HeaderValue::try_from(text).expect("base64 is fit for a header")
}

/// An empty answer that shows that nobody else has answered.
fn portal(headers: &HeaderMap) -> Response<String> {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    let is_fit = |challenge: &&str| {
        (1..=CHALLENGE_BYTES_MAX).contains(&challenge.len())
            && challenge.bytes().all(|it| it.is_ascii_alphanumeric() || b".-_".contains(&it))
    };
    let challenge = headers.get(PORTAL_CHALLENGE).and_then(|value| value.to_str().ok());
    if let Some(challenge) = challenge.filter(is_fit)
        && let Ok(value) = HeaderValue::try_from(format!("response {challenge}"))
    {
        response.headers_mut().insert(PORTAL_RESPONSE, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_websocket_is_answered_as_in_its_specification() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept_key(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
