//! Every route on one page.

use crate::access::{ask_for_host, ask_for_key, read_body};
use crate::api_error::ApiError;
use crate::chat::chat;
use crate::completions::completions;
use crate::house::House;
use crate::information::{health, info, metrics, model, models};
use crate::page;
use crate::tokens::{detokenize, tokenize};
use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use std::sync::Arc;
use tower_http::cors::CorsLayer;

/// The routes over a server's state.
pub fn router(house: Arc<House>) -> Router {
    let guarded = Router::new()
        .route("/v1/completions", post(completions))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/models", get(models))
        .route("/v1/models/{name}", get(model))
        .route("/tokenize", post(tokenize))
        .route("/detokenize", post(detokenize))
        .route("/metrics", get(metrics))
        .route("/info", get(info))
        .route_layer(from_fn_with_state(house.clone(), read_body))
        .route_layer(from_fn_with_state(house.clone(), ask_for_key));
    let open = page::routes().route("/health", get(health));
    let routes = guarded
        .merge(open)
        .fallback(async || ApiError::new(StatusCode::NOT_FOUND, "there is no such path"))
        .method_not_allowed_fallback(async || {
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "not with this method")
        });
    let routes = match house.settings.allowed_origin.as_deref().map(HeaderValue::from_str) {
        Some(Ok(origin)) => routes.layer(cors(origin)),
        _ => routes,
    };
    routes.layer(from_fn_with_state(house.clone(), ask_for_host)).with_state(house)
}

/// Lets pages of one origin ask.
fn cors(origin: HeaderValue) -> CorsLayer {
    const HEADERS: [HeaderName; 2] = [header::AUTHORIZATION, header::CONTENT_TYPE];
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(HEADERS)
}
