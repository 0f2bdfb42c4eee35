//! Which paths of a service: those of the config, or all its mounts.

use crate::{
    docker::{Container, Mount},
    domain::{failure::FieldErrors, text},
    strategy::{Options, StrategyError, tar::is_in},
};

pub const FIELD: &str = "paths";

/// Folders of the system itself, which hold no files of a service.
const SYSTEM: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Sockets of container engines: what is behind them is the host.
const SOCKETS: [&str; 3] = ["docker.sock", "podman.sock", "containerd.sock"];

pub fn check(options: &Options) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    for path in &options.paths {
        errors.merge(text::absolute_path(FIELD, path));
        let path = plain(path);
        if path == "/" {
            errors.add(FIELD, "name folders or files, not the whole file system");
        }
        if SYSTEM.iter().any(|system| lies_in(&path, system)) {
            errors.add(FIELD, "/proc, /sys and /dev hold no files of the service");
        }
        if path
            .split('/')
            .any(|name| name.starts_with(crate::strategy::swap::HIDDEN))
        {
            errors.add(
                FIELD,
                "folders that begin with .holdfast- are Holdfast's own",
            );
        }
    }
    errors.into_result()
}

/// In plain form and without those that lie in another; never empty.
pub fn chosen(container: &Container, options: &Options) -> Result<Vec<String>, StrategyError> {
    check(options).map_err(|errors| {
        let problem = errors.0.into_values().next().unwrap_or_default();
        wrong("a path cannot be used".to_owned(), problem)
    })?;
    let mut paths: Vec<String> = options.paths.iter().map(|path| plain(path)).collect();
    if paths.is_empty() {
        paths = mounted(container);
    }
    if paths.is_empty() {
        return Err(wrong(
            format!("container {} has no volumes", container.name),
            "Name the paths to back up.".to_owned(),
        ));
    }
    Ok(outermost(paths))
}

/// Every mount but engines' sockets and memory; read-only ones too.
pub fn mounted(container: &Container) -> Vec<String> {
    let fits = |mount: &&Mount| {
        let socket = |path: &str| SOCKETS.iter().any(|socket| path.ends_with(socket));
        ["volume", "bind"].contains(&mount.kind.as_str())
            && !socket(&mount.source)
            && !socket(&mount.destination)
            && !SYSTEM
                .iter()
                .any(|system| lies_in(&mount.destination, system))
            && mount.destination != "/"
    };
    let mounts = container.mounts.iter().filter(fits);
    let mut paths: Vec<String> = mounts.map(|mount| plain(&mount.destination)).collect();
    paths.sort();
    paths
}

pub fn wrong(message: String, hint: String) -> StrategyError {
    StrategyError::Option {
        field: FIELD,
        message,
        hint,
    }
}

/// Without doubled and trailing slashes and `.`.
fn plain(path: &str) -> String {
    let names = path.split('/').filter(|name| !matches!(*name, "" | "."));
    let path: String = names.flat_map(|name| ["/", name]).collect();
    if path.is_empty() {
        "/".to_owned()
    } else {
        path
    }
}

fn outermost(mut paths: Vec<String>) -> Vec<String> {
    paths.sort();
    paths.dedup();
    let all = paths.clone();
    paths.retain(|path| {
        !all.iter()
            .any(|other| other != path && lies_in(path, other))
    });
    paths
}

pub fn lies_in(path: &str, folder: &str) -> bool {
    let bare = |path: &str| path.trim_matches('/').to_owned();
    is_in(bare(path).as_bytes(), bare(folder).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_plain_and_kept_apart() {
        let options = |paths: &[&str]| Options {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            ..Options::default()
        };
        let some = |paths: &[&str]| chosen(&Container::default(), &options(paths)).unwrap();
        assert_eq!(some(&["/b//c/./", "/a", "/b/c/d", "/a/"]), ["/a", "/b/c"]);
        assert_eq!(some(&["/a b", "/a", "/a-b"]), ["/a", "/a b", "/a-b"]);
        for path in [
            "/",
            "//",
            "/./",
            "a",
            "",
            "/../a",
            "/proc/1",
            "/dev",
            "/a/.holdfast-1-x",
        ] {
            let error = chosen(&Container::default(), &options(&[path])).unwrap_err();
            assert!(matches!(error, StrategyError::Option { .. }), "{path}");
        }
        assert!(chosen(&Container::default(), &options(&[])).is_err());
    }
}
