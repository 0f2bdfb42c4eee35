//! Database files in a service's mounts, by their names and their first bytes.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    docker::{Command, command},
    strategy::{Detected, Site, StrategyError, volume::chosen},
};

/// $@: folders. Prints the path of each database, at most 20. A name with a line break is passed over.
const FIND: &str = r#"
for folder in "$@"; do
  find "$folder" -xdev -maxdepth 4 -type f -size +0 \
    \( -name '*.db' -o -name '*.sqlite' -o -name '*.sqlite3' \) 2>/dev/null
done | head -n 200 | while IFS= read -r file; do
  [ "$(head -c 15 "$file" 2>/dev/null | tr -d '\0')" = "SQLite format 3" ] && printf '%s\n' "$file"
done | head -n 20
"#;

const LIMIT: Duration = Duration::from_secs(4);

/// By the service's own shell; where it has none, nothing is found.
pub async fn find(site: &Site) -> Result<Option<Detected>, StrategyError> {
    let folders = chosen::mounted(&site.container);
    if folders.is_empty() {
        return Ok(None);
    }
    let argv = ["sh", "-c", FIND, "sh"].map(str::to_owned);
    let look = Command::new(argv.into_iter().chain(folders));
    let (engine, container) = (site.engine.as_ref(), &site.container.id);
    let said = command::run(engine, container, look, None, LIMIT).await?;
    let paths: Vec<String> = said
        .stdout
        .lines()
        .filter(|path| path.starts_with('/'))
        .map(str::to_owned)
        .collect();
    let reason = match paths.as_slice() {
        [] => return Ok(None),
        [only] => format!("an SQLite database: {only}"),
        [first, ..] => format!("{} SQLite databases: {first}, …", paths.len()),
    };
    Ok(Some(Detected {
        reason,
        paths,
        metadata: BTreeMap::new(),
    }))
}
