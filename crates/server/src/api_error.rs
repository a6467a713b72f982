//! A refusal as clients get it: a status and OpenAI's error object. Knows no routes.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kollama_engine::EngineError;
use serde_json::{Value, json};

/// Why a request gets no answer.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    message: String,
    field: Option<String>,
    code: Option<&'static str>,
    retry_after: Option<u64>,
}

impl ApiError {
    /// A status with a reason.
    pub fn new(status: StatusCode, message: impl Into<String>) -> ApiError {
        ApiError { status, message: message.into(), field: None, code: None, retry_after: None }
    }

    /// 400 for a field of the body.
    pub fn field(name: impl Into<String>, problem: impl std::fmt::Display) -> ApiError {
        let name = name.into();
        let message = format!("`{name}`: {problem}");
        ApiError { field: Some(name), ..ApiError::new(StatusCode::BAD_REQUEST, message) }
    }

    /// The same with OpenAI's word for it.
    pub fn with_code(self, code: &'static str) -> ApiError {
        ApiError { code: Some(code), ..self }
    }

    /// 429: come back later.
    pub fn queue_is_full(limit: usize) -> ApiError {
        let message = format!("{limit} answers are being written or wait already; try again later");
        let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, message);
        ApiError { retry_after: Some(RETRY_AFTER), ..error }.with_code("queue_full")
    }

    /// 503: not now.
    pub fn unavailable(message: &str) -> ApiError {
        let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message);
        ApiError { retry_after: Some(RETRY_AFTER), ..error }
    }

    /// The error object.
    pub fn to_json(&self) -> Value {
        let kind = match self.status.as_u16() {
            401 => "authentication_error",
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        json!({ "error": {
            "message": self.message, "type": kind, "param": self.field, "code": self.code,
        } })
    }
}

/// Seconds after which a client may try again.
const RETRY_AFTER: u64 = 2;

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> ApiError {
        let message = error.to_string();
        match error {
            EngineError::EmptyPrompt | EngineError::UnknownToken { .. } => {
                ApiError::field("prompt", message)
            }
            EngineError::TooLong { .. } => {
                ApiError::field("prompt", message).with_code("context_length_exceeded")
            }
            EngineError::Sampling { name, .. } => ApiError::field(name, message),
            _ => ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, message),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.to_json())).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
