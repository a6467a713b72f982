//! The page, baked into the binary, and how browsers are told to treat it: nothing from elsewhere, no
//! script or style but its own, asked for again only when it has changed. What the page does stands in
//! `web/`; it speaks to the same routes as every other client.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// What the page may do: its own scripts, styles, pictures and requests, and no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

/// One file of the page.
struct Part {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! parts {
    ($($kind:ident: $($name:literal)*;)*) => {
        &[$($(Part { name: $name, kind: $kind, text: include_str!(concat!("web/", $name)) }),*),*]
    };
}

const PARTS: &[Part] = parts! {
    HTML: "index.html";
    PICTURE: "icon.svg";
    STYLE: "chat.css" "controls.css" "frame.css" "model.css" "notebook.css" "theme.css" "tokens.css";
    SCRIPT: "alternatives.js" "announce.js" "api.js" "chat.js" "chips.js" "documents.js" "early.js"
        "element.js" "language.js" "main.js" "manuscript.js" "model.js" "notebook.js"
        "notebook_desk.js" "notebook_figures.js" "notebook_hands.js" "notebook_legend.js"
        "notebook_writer.js" "paper.js" "parameters.js" "pieces.js" "remembered.js" "revisions.js"
        "server.js" "server_events.js" "shelf.js" "shown_token.js" "status.js" "theme.js"
        "token_bytes.js" "tokens.js" "words_english.js" "words_korean.js" "writing.js";
};

/// `GET /` and `GET /page/FILE`.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let index = async |asked: HeaderMap| answer("index.html", &asked);
    let part = async |Path(name): Path<String>, asked: HeaderMap| answer(&name, &asked);
    Router::new().route("/", get(index)).route("/page/{name}", get(part))
}

/// A file of the page, or nothing new if the browser has it.
fn answer(name: &str, asked: &HeaderMap) -> Response {
    let Some(part) = PARTS.iter().find(|part| part.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let tag = tag(part.text);
    let known = asked.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let is_known = known.is_some_and(|tags| tags.split(',').any(|known| known.trim() == tag));
    let headers = headers(part.kind, tag);
    if is_known {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, part.text).into_response()
}

fn headers(kind: &'static str, tag: String) -> [(HeaderName, String); 6] {
    [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_SECURITY_POLICY, POLICY.to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
        // Kept, but asked for each time whether it is still the same: another version of the program
        // may answer under the same address.
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::ETAG, tag),
    ]
}

/// Names a text by its contents (FNV-1a).
fn tag(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("\"{hash:016x}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_of_the_page_is_in_the_binary_and_no_other() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/web");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let parts: BTreeSet<String> = PARTS.iter().map(|part| part.name.to_owned()).collect();
        assert_eq!(parts, files);
    }

    #[test]
    fn the_page_asks_only_for_its_own_files() {
        for part in PARTS {
            for asked in quoted_after(part.text, &["from \"./", "href=\"page/", "src=\"page/"]) {
                assert!(PARTS.iter().any(|part| part.name == asked), "{}: {asked}", part.name);
            }
            for foreign in ["https://", "http://", "url("] {
                let own = part.text.replace("http://www.w3.org/2000/svg", "");
                assert!(!own.contains(foreign), "{} has {foreign}", part.name);
            }
        }
    }

    /// What stands between each of some beginnings and the next quotation mark.
    fn quoted_after<'a>(text: &'a str, beginnings: &[&str]) -> Vec<&'a str> {
        let found = |beginning: &&str| text.split(*beginning).skip(1).collect::<Vec<_>>();
        let all = beginnings.iter().flat_map(found);
        all.map(|rest| rest.split('"').next().unwrap_or_default()).collect()
    }

    #[test]
    fn a_browser_that_has_a_file_is_not_sent_it_again() {
        let first = answer("main.js", &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let mut asked = HeaderMap::new();
        asked.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(answer("main.js", &asked).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(answer("index.html", &asked).status(), StatusCode::OK);
        assert_eq!(answer("../page.rs", &asked).status(), StatusCode::NOT_FOUND);
    }
}
