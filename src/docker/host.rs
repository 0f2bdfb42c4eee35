//! Where the container engine listens, found the way its own command line finds it, so that what
//! works in a shell works here: an explicit address, `DOCKER_HOST`, the current context, the
//! usual socket, then the sockets of rootless engines and of podman.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use sha2::{Digest, Sha256};

const USUAL: &str = "/var/run/docker.sock";

/// The address to use: `unix://…`, `tcp://…` or `http://…`. Never fails: an engine that is not
/// there yet is looked for at its usual place. `env` reads a variable of the environment.
pub(super) fn find(explicit: Option<&str>, env: impl Fn(&str) -> Option<OsString>) -> String {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let text = |name: &str| set(name).and_then(|value| value.into_string().ok());
    explicit
        .map(str::to_owned)
        .or_else(|| text("DOCKER_HOST"))
        .or_else(|| {
            let dir = set("DOCKER_CONFIG")
                .map(PathBuf::from)
                .or_else(|| Some(Path::new(&set("HOME")?).join(".docker")))?;
            context(&dir, text("DOCKER_CONTEXT"))
        })
        .map_or_else(|| socket(set("XDG_RUNTIME_DIR")), with_scheme)
}

/// A bare path means a socket.
fn with_scheme(host: String) -> String {
    if host.starts_with('/') {
        format!("unix://{host}")
    } else {
        host
    }
}

/// Endpoint of the chosen context, of the current one if none is chosen; `None` for the default
/// context, and for one that cannot be read.
fn context(dir: &Path, chosen: Option<String>) -> Option<String> {
    let name = chosen.or_else(|| read::<Config>(&dir.join("config.json"))?.current_context)?;
    if name == "default" {
        return None;
    }
    let folder = hex::encode(Sha256::digest(name.as_bytes()));
    let meta = dir.join("contexts/meta").join(folder).join("meta.json");
    Some(read::<Context>(&meta)?.endpoints.docker?.host)
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    current_context: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Context {
    endpoints: Endpoints,
}

#[derive(Deserialize)]
struct Endpoints {
    docker: Option<Endpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    host: String,
}

/// The first socket that is there; the usual one when none is.
fn socket(runtime_dir: Option<OsString>) -> String {
    let rootless = runtime_dir
        .map(PathBuf::from)
        .into_iter()
        .flat_map(|dir| ["docker.sock", "podman/podman.sock"].map(|socket| dir.join(socket)));
    let path = std::iter::once(PathBuf::from(USUAL))
        .chain(rootless)
        .chain([PathBuf::from("/run/podman/podman.sock")])
        .find(|path| path.exists())
        .unwrap_or_else(|| USUAL.into());
    format!("unix://{}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(env: &[(&str, &str)], explicit: Option<&str>) -> String {
        find(explicit, |name| {
            let (_, value) = env.iter().find(|(key, _)| *key == name)?;
            Some(value.into())
        })
    }

    #[test]
    fn an_explicit_address_wins_over_the_environment() {
        let env = [("DOCKER_HOST", "tcp://b:2375")];
        assert_eq!(with(&env, Some("tcp://a:2375")), "tcp://a:2375");
        assert_eq!(with(&env, Some("/a.sock")), "unix:///a.sock");
        assert_eq!(with(&env, None), "tcp://b:2375");
    }

    #[test]
    fn the_current_context_is_followed() {
        let home = tempfile::tempdir().unwrap();
        let folder = hex::encode(Sha256::digest(b"far"));
        let meta = home.path().join(".docker/contexts/meta").join(folder);
        std::fs::create_dir_all(&meta).unwrap();
        std::fs::write(
            meta.join("meta.json"),
            r#"{"Name":"far","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://far:2375","SkipTLSVerify":false}}}"#,
        )
        .unwrap();
        let path = home.path().to_str().unwrap();
        assert_eq!(
            with(&[("HOME", path), ("DOCKER_CONTEXT", "far")], None),
            "tcp://far:2375"
        );
        let config = home.path().join(".docker/config.json");
        std::fs::write(&config, r#"{"auths":{},"currentContext":"far"}"#).unwrap();
        assert_eq!(with(&[("HOME", path)], None), "tcp://far:2375");
        assert!(
            with(&[("HOME", path), ("DOCKER_CONTEXT", "default")], None).starts_with("unix://")
        );
    }

    #[test]
    fn a_rootless_socket_is_found_when_the_usual_one_is_absent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        std::fs::write(dir.path().join("docker.sock"), "").unwrap();
        let found = with(&[("XDG_RUNTIME_DIR", path), ("DOCKER_HOST", "")], None);
        let expected = if Path::new(USUAL).exists() {
            format!("unix://{USUAL}")
        } else {
            format!("unix://{path}/docker.sock")
        };
        assert_eq!(found, expected);
    }
}
