//! The `sqlite3` of a helper, and what it is told.

use std::time::Duration;

use crate::{
    docker::{Command, DockerError, Tools, command},
    strategy::{Site, StrategyError, service::Helper, stderr, swap::script, tar::program::Program},
};

/// Where copies lie in the helper.
pub const SCRATCH: &str = "/holdfast-scratch";
/// What stands before the name of the image in a tool's version.
pub const IN: &str = ", in ";

/// $1: a database. Ends with 3 when it is not there, with 4 when it is none; else says its length.
pub const LOOK: &str = r#"
[ -f "$1" ] || exit 3
[ "$(head -c 15 "$1" | tr -d '\0')" = "SQLite format 3" ] || exit 4
stat -c %s "$1"
"#;

/// $1: a database, $2: folder of the copy, $3: its name. The transaction keeps what is read as it was
/// at one instant; without it the copy would begin again at each write. The names given to `.backup` are
/// constant, because its way to quote is its own.
pub const COPY: &str = r#"
mkdir -p "$2" && cd "$2" && rm -f holdfast-copy.db || exit
HOME=/nonexistent sqlite3 -batch -bail "$1" '.timeout 60000' BEGIN \
  'SELECT count(*) FROM sqlite_master' '.backup main holdfast-copy.db' COMMIT >/dev/null || exit
mv holdfast-copy.db "./$3"
"#;

/// $1: a copy. Prints its number of pages, then what is wrong with it, or `ok`.
const CHECK: &str = r#"
HOME=/nonexistent sqlite3 -batch "$1" 'PRAGMA page_count' 'PRAGMA integrity_check(5)'
code=$?
rm -f "$1-wal" "$1-shm"
exit $code
"#;

const LONG: Duration = script::LONG;

/// A helper with `sqlite3` and the usual tools.
pub struct Tool {
    pub helper: Helper,
    pub tar: Program,
    /// `sqlite3 3.40.1, in IMAGE`.
    pub version: String,
}

impl Tool {
    pub async fn open(site: &Site) -> Result<Self, StrategyError> {
        for tools in [Tools::Own, Tools::Common] {
            let helper = match site.helper(tools, false).await {
                Err(StrategyError::Docker(
                    DockerError::NoSuchProgram { .. } | DockerError::NoHelperImage { .. },
                )) => continue,
                helper => helper?,
            };
            let Some(mut tar) = Program::of(&helper.site).await? else {
                continue;
            };
            let version = Command::new(["sqlite3", "--version"]);
            let (engine, container) = (site.engine.as_ref(), &helper.site.container.id);
            let limit = Duration::from_secs(30);
            let run = async { Ok(command::run(engine, container, version, None, limit).await?) };
            let said = match helper.site.watch(run).await {
                Ok(output) if output.ok() => output.stdout,
                Err(StrategyError::Cancelled) => return Err(StrategyError::Cancelled),
                _ => continue,
            };
            let number = said.split_ascii_whitespace().next().unwrap_or_default();
            let image = match tools {
                Tools::Own => &site.container.image,
                Tools::Common => &helper.site.container.image,
            };
            let version = format!("sqlite3 {number}{IN}{image}");
            // A copy has no holes, and its pages are counted as they pass.
            tar.sparse = false;
            return Ok(Self {
                helper,
                tar,
                version,
            });
        }
        Err(StrategyError::refused(
            "neither the service's image nor the helper image has sqlite3",
            "Name an image with sh, tar and sqlite3 by --helper-image, or add sqlite3 to the service's image.",
        ))
    }

    pub fn site(&self) -> &Site {
        &self.helper.site
    }

    /// Looks at a database in use; its length in bytes.
    pub async fn look(&self, path: &str) -> Result<u64, StrategyError> {
        let wrong = |what: &str, hint: &str| StrategyError::Option {
            field: crate::strategy::volume::chosen::FIELD,
            message: format!("{path} {what}"),
            hint: hint.to_owned(),
        };
        let limit = Duration::from_mins(2);
        let look = Command::new(["sh", "-c", LOOK, "sh", path]);
        let (engine, container) = (self.site().engine.as_ref(), &self.site().container.id);
        let run = async { Ok(command::run(engine, container, look, None, limit).await?) };
        let output = self.site().watch(run).await?;
        match output.code {
            0 => Ok(output.stdout.trim().parse().unwrap_or_default()),
            3 => Err(wrong(
                "is not there",
                "Name the database file, with its whole path.",
            )),
            4 => Err(wrong(
                "is no SQLite database",
                "It may be encrypted, empty, or something else; back it up as a file.",
            )),
            code => Err(StrategyError::refused(
                format!("looking at {path} failed (exit status {code})"),
                stderr::clean(&output.stderr),
            )),
        }
    }

    /// Has the database check itself; its number of pages, and a warning when it could not do all.
    pub async fn check(&self, path: &str) -> Result<(u64, Option<String>), StrategyError> {
        let what = "checking the database";
        let said = match script::run(self.site(), CHECK, &[path], what, LONG).await {
            Ok(said) => said,
            // The app brings functions of its own that `sqlite3` does not have.
            Err(StrategyError::Tool { detail, .. }) if is_unknown(&detail) => {
                let last = detail.lines().last().unwrap_or_default();
                return Ok((0, Some(format!("not checked in full: {last}"))));
            }
            Err(error) => return Err(error),
        };
        let (pages, verdict) = said.split_once('\n').unwrap_or((&said, ""));
        let pages: u64 = pages.trim().parse().unwrap_or_default();
        if verdict.trim() == "ok" {
            return Ok((pages, None));
        }
        let verdict = stderr::clean(verdict.trim());
        let first = verdict
            .lines()
            .find(|line| !line.starts_with("***"))
            .unwrap_or(&verdict);
        Err(StrategyError::Tool {
            message: format!("the database is damaged: {first}"),
            hint: "See what .recover of sqlite3 can save, or restore an earlier backup.".to_owned(),
            detail: stderr::shown(&verdict),
            temporary: false,
        })
    }
}

fn is_unknown(said: &str) -> bool {
    [
        "no such collation",
        "no such module",
        "no such function",
        "unknown tokenizer",
    ]
    .iter()
    .any(|word| said.contains(word))
}
