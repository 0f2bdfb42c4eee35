//! The tar program of a helper, and a helper that has one.

use std::time::Duration;

use crate::{
    docker::{Command, DockerError, Tools, command},
    strategy::{Site, StrategyError, service::Helper},
};

/// Tells which programs are missing, and what tar says of itself.
const LOOK: &str = "
for p in tar find mv rm mkdir stat chown chmod sync; do
  command -v $p >/dev/null || echo \"missing $p\"
done
{ tar --version; tar --help; } 2>&1
exit 0
";

/// What the version of a tar ends with that is not the service's own.
pub const COMMON: &str = " of the helper image";

/// What the tar of an image can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// `tar (GNU tar) 1.34`, `BusyBox v1.35.0`.
    pub version: String,
    pub gnu: bool,
    /// Whether holes in files are looked for, and not stored.
    pub sparse: bool,
    numeric_owner: bool,
    acls: bool,
    xattrs: bool,
}

/// A helper with a tar: of the service's own image when that has one, else of the helper image.
/// With `gnu`, one with GNU tar is looked for in both first.
pub async fn open(
    site: &Site,
    read_only: bool,
    gnu: bool,
) -> Result<(Helper, Program), StrategyError> {
    let mut other = None;
    for tools in [Tools::Own, Tools::Common] {
        let helper = match site.helper(tools, read_only).await {
            Err(StrategyError::Docker(DockerError::NoSuchProgram { .. }))
                if tools == Tools::Own =>
            {
                continue;
            }
            Err(StrategyError::Docker(DockerError::NoHelperImage { .. })) if other.is_some() => {
                break;
            }
            helper => helper?,
        };
        if let Some(mut program) = Program::of(&helper.site).await? {
            if tools == Tools::Common {
                program.version += COMMON;
            }
            if program.gnu || !gnu {
                return Ok((helper, program));
            }
            other = other.or(Some((helper, program)));
        }
    }
    other.ok_or_else(|| {
        StrategyError::refused(
            "neither the service's image nor the helper image has sh, tar and find",
            "Name an image that has them by --helper-image.",
        )
    })
}

impl Program {
    /// `None` when the image has no shell, no tar, or not what moves files.
    pub async fn of(site: &Site) -> Result<Option<Self>, StrategyError> {
        let look = Command::new(["sh", "-c", LOOK]);
        let (engine, container) = (site.engine.as_ref(), &site.container.id);
        let limit = Duration::from_secs(30);
        let run = async { Ok(command::run(engine, container, look, None, limit).await?) };
        match site.watch(run).await {
            Ok(output) => Ok(Self::read(&output.stdout)),
            Err(StrategyError::Docker(DockerError::NoSuchProgram { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(said: &str) -> Option<Self> {
        if said.lines().any(|line| line.starts_with("missing ")) {
            return None;
        }
        let gnu = said.contains("GNU tar");
        let busybox = said.find("BusyBox v").map(|at| {
            let words = said[at..].split_ascii_whitespace();
            words.take(2).collect::<Vec<_>>().join(" ")
        });
        let first = said.lines().next().unwrap_or_default();
        Some(Self {
            version: busybox.unwrap_or_else(|| first.chars().take(100).collect()),
            gnu,
            sparse: gnu,
            numeric_owner: said.contains("--numeric-owner"),
            acls: gnu && said.contains("--acls"),
            xattrs: gnu && said.contains("--xattrs-include"),
        })
    }

    /// Writes the archive of these absolute paths to its output, with names from `from` on.
    pub fn pack(&self, from: &str, paths: &[String]) -> Command {
        let mut argv = vec!["tar", "-c"];
        argv.extend(self.options());
        if self.gnu {
            // Or a backslash in a path would be read as the beginning of another character.
            argv.extend(["--format=posix", "--no-unquote"]);
        }
        if self.sparse {
            argv.push("--sparse");
        }
        argv.extend(["-f", "-", "-C", from, "--"]);
        let relative = paths.iter().map(|path| relative(path));
        Command::new(argv.into_iter().chain(relative))
    }

    /// Unpacks its input into a folder.
    pub fn unpack(&self, into: &str) -> Command {
        let mut argv = vec!["tar", "-x", "-p"];
        argv.extend(self.options());
        argv.extend(["-f", "-", "-C", into]);
        Command::new(argv).with_stdin()
    }

    #[cfg(test)]
    pub fn for_tests(gnu: bool) -> Self {
        Self {
            version: String::new(),
            gnu,
            sparse: gnu,
            numeric_owner: true,
            acls: gnu,
            xattrs: gnu,
        }
    }

    fn options(&self) -> Vec<&'static str> {
        let mut options = Vec::new();
        if self.numeric_owner {
            options.push("--numeric-owner");
        }
        if self.acls {
            options.push("--acls");
        }
        if self.xattrs {
            // Not the labels of this host's security modules.
            options.extend([
                "--xattrs",
                "--xattrs-include=user.*",
                "--xattrs-include=security.capability",
            ]);
        }
        options
    }
}

/// A path as it is called in an archive of the whole file system; `.` for its root.
fn relative(path: &str) -> &str {
    match path.trim_matches('/') {
        "" => ".",
        path => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tars_are_told_apart() {
        let gnu = "tar (GNU tar) 1.34\nCopyright\n--numeric-owner --acls --xattrs-include=MASK";
        let gnu = Program::read(gnu).unwrap();
        assert!(gnu.gnu && gnu.acls && gnu.xattrs && gnu.numeric_owner);
        assert_eq!(gnu.version, "tar (GNU tar) 1.34");
        let busybox = "tar: unrecognized option '--version'\nBusyBox v1.35.0 (Debian) multi-call\n";
        let busybox = Program::read(busybox).unwrap();
        assert_eq!(busybox.version, "BusyBox v1.35.0");
        assert!(!busybox.gnu && !busybox.numeric_owner);
        assert_eq!(Program::read("missing find\nBusyBox v1.35.0"), None);
        let pack = busybox.pack("/", &["/-x".into(), "/".into()]).argv;
        assert_eq!(pack, ["tar", "-c", "-f", "-", "-C", "/", "--", "-x", "."]);
    }
}
