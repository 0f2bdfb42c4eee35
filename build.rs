//! Takes htmx and its SSE extension out of a registry package into the binary, by checksum, so
//! that no foreign script is pasted into the repository and no page asks another host for one.

use std::{env, fs, path::PathBuf};

use sha2::{Digest, Sha256};

/// Path in the package, name in the binary, SHA-256 (the first is npm's htmx.org 2.0.4).
const ASSETS: [(&str, &str, &str); 2] = [
    (
        "js/htmx.min.js",
        "htmx.min.js",
        "e209dda5c8235479f3166defc7750e1dbcd5a5c1808b7792fc2e6733768fb447",
    ),
    (
        "js/htmx-sse.js",
        "htmx-sse.js",
        "08ab8c0f8da5ce067198f03841836561f73d0def1626f7b4e92f9a9605b47f91",
    ),
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    for (path, name, expected) in ASSETS {
        let asset =
            wavefunk_ui::assets::get(path).unwrap_or_else(|| panic!("{path} left its package"));
        let got = hex(&Sha256::digest(&asset.bytes));
        assert_eq!(got, expected, "{path} is not the file that was reviewed");
        fs::write(out.join(name), &asset.bytes).expect("OUT_DIR is writable");
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}
