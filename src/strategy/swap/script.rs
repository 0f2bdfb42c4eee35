//! What runs in the helper. The scripts are constant; all names go as arguments.

use std::time::Duration;

use super::{Direction, HIDDEN, Part, Side, Swap, Unit};
use crate::{
    docker::{Command, command},
    strategy::{Site, StrategyError, stderr},
};

/// For what moves or removes many files.
pub const LONG: Duration = Duration::from_mins(60);
const SHORT: Duration = Duration::from_mins(2);

/// Moves one name ($4), or all names but those that the rest excludes, from $1 to $2. What is in the
/// way, because the service made it meanwhile, goes to $3. Whatever has been moved before is fine. With
/// all of its content a folder's owner and mode go along. A folder that is made has them from its first
/// instant: should the move break off, it is what they come back from. The zeros take bits away that
/// `chmod` would else leave on a folder.
const MOVE: &str = r#"
from=$1 to=$2 late=$3 only=$4
shift 4
[ -d "$from" ] || exit 0
like() {
  chown "$(stat -c %u:%g "$from")" "$1" && chmod "00$(stat -c %a "$from")" "$1"
}
if [ ! -d "$to" ]; then
  above=${to%/*} made=${to%/*}/.holdfast-made
  mkdir -p "$above" && rm -rf "$made" && mkdir "$made" && like "$made" && mv "$made" "$to" || exit
fi
all='to=$2; shift 2; mv -f "$@" "$to/" 2>/dev/null'
each='
  late=$1 to=$2; shift 2
  for e; do
    n=${e##*/}
    if [ -e "$to/$n" ] || [ -L "$to/$n" ]; then
      i=0; while [ -e "$late/$i" ]; do i=$((i+1)); done
      mkdir -p "$late/$i" && mv -f "$to/$n" "$late/$i/" || exit
    fi
    mv -f "$e" "$to/" || exit
  done'
if [ -n "$only" ]; then
  [ -e "$from/$only" ] || [ -L "$from/$only" ] || exit 0
  exec sh -c "$each" sh "$late" "$to" "$from/$only"
fi
there() { find "$from" -mindepth 1 -maxdepth 1 ! -name '.holdfast-*' "$@"; }
there "$@" -exec sh -c "$all" sh "$late" "$to" {} +
there "$@" -exec sh -c "$each" sh "$late" "$to" {} +
left=$(there "$@" | head -n 3)
[ -z "$left" ] || { echo "these do not move: $left" >&2; exit 1; }
like "$to"
"#;

/// $1: a folder of ours, $2: which half has come in, $3: the other.
const MARK: &str = r#"sync; : > "$1/$2.in" && sync && rm -f "$1/$3.in""#;
const IS_MARKED: &str = r#"if [ -e "$1/$2.in" ]; then echo yes; else echo no; fi"#;
const REMOVE: &str = r#"for f; do case $f in */.holdfast-*) rm -rf "$f" || exit;; esac; done"#;
const IS_THERE: &str = r#"for f; do [ -d "$f" ] || exec echo no; done; echo yes"#;
const SIZE: &str = r#"du -sk "$@""#;

/// Runs a script with arguments in a helper; what it printed. `what` is for the message.
pub async fn run(
    site: &Site,
    script: &str,
    arguments: &[&str],
    what: &str,
    limit: Duration,
) -> Result<String, StrategyError> {
    let argv = ["sh", "-c", script, "sh"].into_iter();
    let command = Command::new(argv.chain(arguments.iter().copied()));
    let (engine, container) = (site.engine.as_ref(), &site.container.id);
    let run = async { Ok(command::run(engine, container, command, None, limit).await?) };
    let output = site.watch(run).await?;
    if output.ok() {
        return Ok(output.stdout);
    }
    let said = stderr::clean(&output.stderr);
    let last = said.trim().lines().last().unwrap_or_default();
    let reason = if last.is_empty() {
        format!("exit status {}", output.code)
    } else {
        last.to_owned()
    };
    Err(StrategyError::Tool {
        message: format!("{what} failed: {reason}"),
        hint: hint(&said).to_owned(),
        detail: stderr::shown(&said),
        temporary: false,
    })
}

/// What to do about the ways in which a file system refuses.
pub fn hint(said: &str) -> &'static str {
    if said.contains("No space left") {
        "Free some space where the volume lies; files kept for an undo (.holdfast-…) may go."
    } else if said.contains("Read-only file system") {
        "The volume is mounted read-only; mount it writable for the restore."
    } else if said.contains("Permission denied") || said.contains("Operation not permitted") {
        "Root in a helper container may not do that; look at the mount's options and the files' flags."
    } else {
        ""
    }
}

pub(super) async fn move_unit(
    helper: &Site,
    swap: &Swap,
    part: &Part,
    unit: &Unit,
    direction: Direction,
) -> Result<(), StrategyError> {
    let side = match direction {
        Direction::In => swap.incoming,
        Direction::Out | Direction::Back => swap.incoming.other(),
    };
    let aside = format!("{}{}", swap.side(part, side), unit.folder);
    let late = format!("{}/late", swap.hidden(part));
    let (from, to) = match direction {
        Direction::Out => (&unit.folder, &aside),
        Direction::In | Direction::Back => (&aside, &unit.folder),
    };
    let only = unit.only.as_deref().unwrap_or_default();
    let stays: Vec<String> = unit.stays.iter().map(|name| literal(name)).collect();
    let mut arguments = vec![from.as_str(), to, &late, only];
    for name in &stays {
        arguments.extend(["!", "-name", name]);
    }
    let what = format!("moving the files of {}", unit.folder);
    run(helper, MOVE, &arguments, &what, LONG).await?;
    Ok(())
}

/// As a pattern that fits only itself.
fn literal(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len());
    for c in name.chars() {
        if "*?[]\\".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// Says, for good, that from now on whatever lies in the place is what came in.
pub(super) async fn mark(helper: &Site, swap: &Swap) -> Result<(), StrategyError> {
    let Some(first) = swap.parts.first() else {
        return Ok(());
    };
    let (hidden, side) = (swap.hidden(first), swap.incoming);
    let arguments = [hidden.as_str(), side.name(), side.other().name()];
    run(helper, MARK, &arguments, "marking the exchange", LONG).await?;
    Ok(())
}

pub(super) async fn is_marked(helper: &Site, swap: &Swap) -> Result<bool, StrategyError> {
    let Some(first) = swap.parts.first() else {
        return Ok(false);
    };
    let hidden = swap.hidden(first);
    let arguments = [hidden.as_str(), swap.incoming.name()];
    let what = "looking for what was exchanged";
    Ok(run(helper, IS_MARKED, &arguments, what, SHORT)
        .await?
        .trim()
        == "yes")
}

/// Whether the hidden folders of all parts are there.
pub(super) async fn is_there(helper: &Site, swap: &Swap) -> Result<bool, StrategyError> {
    let folders: Vec<String> = swap.parts.iter().map(|part| swap.hidden(part)).collect();
    let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
    let what = "looking for what was kept";
    Ok(run(helper, IS_THERE, &folders, what, SHORT).await?.trim() == "yes")
}

/// Removes the hidden folders with all that is in them. Gone is fine.
pub(super) async fn discard(helper: &Site, swap: &Swap) -> Result<(), StrategyError> {
    if !swap.folder.starts_with(HIDDEN) {
        return Ok(());
    }
    let folders: Vec<String> = swap.parts.iter().map(|part| swap.hidden(part)).collect();
    let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
    run(helper, REMOVE, &folders, "removing the old files", LONG).await?;
    Ok(())
}

/// Bytes on the disk of what would come in; only for show.
pub(super) async fn size(helper: &Site, swap: &Swap) -> Option<u64> {
    let side: Side = swap.incoming;
    let folders = swap.parts.iter().map(|part| swap.side(part, side));
    let folders: Vec<String> = folders.collect();
    let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
    let lines = run(helper, SIZE, &folders, "measuring", LONG).await.ok()?;
    let sizes = lines.lines().filter_map(|line| {
        let kilobytes = line.split_ascii_whitespace().next()?;
        kilobytes.parse::<u64>().ok()
    });
    Some(sizes.sum::<u64>() * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_only_themselves() {
        assert_eq!(literal("plain.d"), "plain.d");
        assert_eq!(literal("a*b?[c]\\"), "a\\*b\\?\\[c\\]\\\\");
    }
}
