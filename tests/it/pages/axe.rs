//! axe-core looks at a page as somebody would who cannot see it, or not well. It is fetched by npm's
//! client, once, and is what it was when this was written.

use std::{path::Path, process::Command, sync::OnceLock};

use sha2::{Digest, Sha256};

use super::browser::Browser;
use crate::bed::done;

const PACKAGE: &str = "axe-core@4.14.1";
const SHA256: &str = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c";

/// Serious and critical ones of the page that the browser shows, one line each; none is what is wanted.
pub async fn violations(browser: &Browser) -> Vec<String> {
    if browser.run("return typeof axe").await == "undefined" {
        browser.run(source()).await;
    }
    let found = browser
        .run_async(
            "const done = arguments[arguments.length - 1];
            axe.run(document, { resultTypes: ['violations'] })
              .then((result) => done(result.violations
                .filter(({ impact }) => impact === 'serious' || impact === 'critical')
                .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.target).join(', ')}`)))
              .catch((error) => done([`axe itself failed: ${error}`]));",
        )
        .await;
    let found = found.as_array().expect("axe answers with a list");
    found
        .iter()
        .map(|line| line.as_str().unwrap_or_default().to_owned())
        .collect()
}

fn source() -> &'static str {
    static SOURCE: OnceLock<String> = OnceLock::new();
    SOURCE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let kept = folder.join(format!("{PACKAGE}.js"));
        let source = std::fs::read_to_string(&kept).unwrap_or_else(|_| {
            let source = fetched(folder);
            std::fs::write(&kept, &source).unwrap();
            source
        });
        let digest = hex::encode(Sha256::digest(source.as_bytes()));
        assert_eq!(digest, SHA256, "{} is not what it was", kept.display());
        source
    })
}

fn fetched(folder: &Path) -> String {
    let packed = done(
        Command::new("npm")
            .current_dir(folder)
            .args(["pack", "--silent", PACKAGE]),
    );
    done(Command::new("tar").current_dir(folder).args([
        "-xOzf",
        packed.trim(),
        "package/axe.min.js",
    ]))
}
