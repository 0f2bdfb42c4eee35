//! The files that pages load, all inside the binary. Their path holds a hash of their content, so
//! a browser may keep them for ever and an upgrade is seen at once.

use std::{fmt::Write as _, sync::LazyLock};

use poem::{IntoResponse, Response, handler, http::StatusCode, web::Path};
use sha2::{Digest, Sha256};

struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const JS: &str = "text/javascript; charset=utf-8";

/// Every file there is.
static ALL: [Asset; 6] = [
    Asset {
        name: "app.css",
        kind: "text/css; charset=utf-8",
        bytes: include_bytes!("../../static/app.css"),
    },
    Asset {
        name: "app.js",
        kind: JS,
        bytes: include_bytes!("../../static/app.js"),
    },
    Asset {
        name: "icons.svg",
        kind: "image/svg+xml",
        bytes: include_bytes!("../../static/icons.svg"),
    },
    Asset {
        name: "favicon.svg",
        kind: "image/svg+xml",
        bytes: include_bytes!("../../static/favicon.svg"),
    },
    Asset {
        name: "htmx.min.js",
        kind: JS,
        bytes: include_bytes!(concat!(env!("OUT_DIR"), "/htmx.min.js")),
    },
    Asset {
        name: "htmx-sse.js",
        kind: JS,
        bytes: include_bytes!(concat!(env!("OUT_DIR"), "/htmx-sse.js")),
    },
];

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut sha = Sha256::new();
    for asset in &ALL {
        sha.update(asset.bytes);
    }
    sha.finalize()[..6]
        .iter()
        .fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
});

/// Where pages find that file.
pub fn path(name: &str) -> String {
    format!("/static/{}/{name}", *VERSION)
}

/// `GET /static/:version/:name`. Another version's path is answered, but not to be kept.
#[handler]
pub fn serve(Path((version, name)): Path<(String, String)>) -> Response {
    let Some(asset) = ALL.iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let keep = if version == *VERSION {
        "public, max-age=31536000, immutable"
    } else {
        "no-store"
    };
    Response::builder()
        .content_type(asset.kind)
        .header("Cache-Control", keep)
        .body(asset.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_holds_the_content() {
        assert_eq!(path("app.css"), path("app.css"));
        assert_eq!(VERSION.len(), 12);
        assert!(path("icons.svg").ends_with("/icons.svg"));
    }

    #[test]
    fn nothing_asks_another_host() {
        for asset in &ALL {
            let text = String::from_utf8_lossy(asset.bytes);
            if asset.kind != JS {
                assert!(!text.contains("url(http"), "{}", asset.name);
            }
        }
    }
}
