//! What the server says of itself: models, health, figures, and all that is known of one model.

use crate::api_error::ApiError;
use crate::house::House;
use crate::metrics::prometheus;
use crate::model::Model;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// `GET /v1/models`
pub async fn models(State(house): State<Arc<House>>) -> Json<Value> {
    let data: Vec<Value> = house.models.iter().map(|model| model_json(model)).collect();
    Json(json!({ "object": "list", "data": data }))
}

/// `GET /v1/models/NAME`
pub async fn model(
    State(house): State<Arc<House>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(model_json(house.model(Some(&name))?)))
}

fn model_json(model: &Model) -> Value {
    json!({
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": "kollama",
    })
}

/// `GET /health`
pub async fn health(State(house): State<Arc<House>>) -> (StatusCode, Json<Value>) {
    let loading: Vec<&str> = house
        .models
        .iter()
        .filter(|model| model.loaded.get().is_none())
        .map(|model| model.name.as_str())
        .collect();
    if house.is_ready() {
        return (StatusCode::OK, Json(json!({ "status": "ok" })));
    }
    let status = if loading.is_empty() { "ending" } else { "loading" };
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": status, "loading": loading })))
}

/// `GET /metrics`
pub async fn metrics(State(house): State<Arc<House>>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    let models = house.models.iter().map(|model| (model.name.as_str(), &*model.metrics));
    (kind, prometheus(models)).into_response()
}

/// `GET /info`
pub async fn info(
    State(house): State<Arc<House>>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, ApiError> {
    if let Some(name) = query.keys().find(|name| *name != "model") {
        return Err(ApiError::field(name.clone(), "not a field of this request"));
    }
    let model = house.model(query.get("model").map(String::as_str))?;
    let models = house.models.iter().map(|model| model.name.as_str());
    let others = house.tokenizers.iter().map(|(name, _)| name.as_str());
    let mut info = json!({
        "model": model.name,
        "models": models.clone().collect::<Vec<_>>(),
        "tokenizers": models.chain(others).collect::<Vec<_>>(),
        "config": model.config,
        "parameters": model.parameters,
        "vocabulary": model.tokenizer.vocab_size(),
        "chat": model.chat.is_some(),
        "status": if model.loaded.get().is_some() { "ready" } else { "loading" },
        "version": env!("CARGO_PKG_VERSION"),
    });
    if let (Some(loaded), Some(info)) = (model.loaded.get(), info.as_object_mut()) {
        let (prompt, written) = model.metrics.speed();
        let status = model.metrics.status();
        info.insert("context".into(), loaded.context.into());
        info.insert("weights".into(), loaded.weights.clone().into());
        info.insert("cache".into(), loaded.cache.clone().into());
        info.insert(
            "memory".into(),
            json!({
                "weight_bytes": loaded.weight_bytes,
                "cache_bytes": loaded.cache_bytes,
                "cache_rows": loaded.cache_rows,
                "cache_rows_lent": status.rows_lent,
                "cache_rows_kept": status.rows_kept,
            }),
        );
        info.insert(
            "speed".into(),
            json!({
                "prompt_tokens_per_second": prompt,
                "written_tokens_per_second": written,
                "running": status.running,
                "waiting": status.waiting,
            }),
        );
    }
    Ok(Json(info))
}
