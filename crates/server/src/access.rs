//! Who may ask: the key, the host that is asked for, and bodies that are JSON, so that no web page of
//! somebody else can make a browser ask.

use crate::api_error::ApiError;
use crate::house::House;
use crate::settings::BODY_BYTES;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Refuses whoever does not show the key. Compares in a time that does not depend on the key.
pub async fn ask_for_key(
    State(house): State<Arc<House>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let Some(key) = &house.settings.api_key else { return Ok(next.run(request).await) };
    let shown = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let shown = shown.and_then(|value| value.strip_prefix(b"Bearer ")).unwrap_or_default();
    if bool::from(shown.ct_eq(key.as_bytes())) {
        return Ok(next.run(request).await);
    }
    let message = "the header `Authorization: Bearer KEY` with this server's key is missing";
    Err(ApiError::new(StatusCode::UNAUTHORIZED, message).with_code("invalid_api_key"))
}

/// On a loopback address without a key, only asks that name it: a page from elsewhere whose name was
/// made to point here is refused.
pub async fn ask_for_host(
    State(house): State<Arc<House>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let is_open = house.settings.api_key.is_some() || !house.settings.address.ip().is_loopback();
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if is_open || host.is_none_or(is_loopback) {
        return Ok(next.run(request).await);
    }
    let message = "this server answers for localhost only; give it a key to let others ask";
    Err(ApiError::new(StatusCode::FORBIDDEN, message))
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let is_address = address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    is_address || name.eq_ignore_ascii_case("localhost")
}

/// Reads the body of a POST, within its limits of size and time.
pub async fn read_body(
    State(house): State<Arc<House>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if request.method() != Method::POST {
        return Ok(next.run(request).await);
    }
    let (parts, body) = request.into_parts();
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let message = "the header `Content-Type: application/json` is missing";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let too_large = || {
        let message = format!("the body is larger than {BODY_BYTES} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length.and_then(|length| length.parse().ok()).is_some_and(|l: u64| l > BODY_BYTES as u64) {
        return Err(too_large());
    }
    let read = tokio::time::timeout(house.settings.read_timeout, to_bytes(body, BODY_BYTES));
    let slow = |_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "the body came too slowly");
    let bytes = read.await.map_err(slow)?.map_err(|_| too_large())?;
    Ok(next.run(Request::from_parts(parts, Body::from(bytes))).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for host in
            ["localhost", "LOCALHOST:8080", "127.0.0.1:80", "[::1]:8080", "[::1]", "127.1.2.3"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in
            ["example.org", "localhost.example.org:80", "192.168.0.1", "127.0.0.1.nip.io", ""]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
