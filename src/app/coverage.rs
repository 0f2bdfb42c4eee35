//! Which services hold data that no config covers. Asked with every look at the dashboard, so the
//! engine is asked at most every few seconds, in one call, and never waited for long.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsStr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Mutex, time::timeout};

use super::{
    Caller, Holdfast, Origin, Result, Service,
    detect::{Label, merged},
};
use crate::{
    compose::Composition,
    docker::{Container, Mount},
    readmodel::{apps, configs},
    strategy,
};

/// What was seen counts as the present for this long.
const FRESH: Duration = Duration::from_secs(5);
/// A page does not wait longer for the engine.
const PATIENCE: Duration = Duration::from_secs(2);

/// A service with data that nothing backs up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unprotected {
    pub service: String,
    /// Why it is taken for one, in words: `Database (PostgreSQL)`, `volume shop_data`.
    pub holds: String,
}

/// What was seen last.
#[derive(Default)]
pub(super) struct Seen {
    containers: Mutex<Option<Listed>>,
    compositions: Mutex<HashMap<i64, Described>>,
}

struct Listed {
    at: Instant,
    /// `None`: the engine did not answer.
    containers: Option<Arc<Vec<Container>>>,
}

struct Described {
    at: Instant,
    /// Of which file: the app may have been given another.
    of: (Option<String>, Option<String>),
    composition: Option<Arc<Composition>>,
}

impl Holdfast {
    /// By app: its services with data that no enabled config covers. An app of which nothing can be
    /// seen now (the engine is away, and no compose file says anything) is absent.
    pub async fn unprotected(
        &self,
        _caller: &Caller,
        apps: &[apps::Model],
        configs: &[configs::Model],
    ) -> Result<BTreeMap<i64, Vec<Unprotected>>> {
        let containers = self.containers_lately().await;
        let mut found = BTreeMap::new();
        for app in apps {
            let described = self.described_lately(app).await?;
            if containers.is_none() && described.is_none() {
                continue;
            }
            let own = containers.iter().flat_map(|all| all.iter());
            let own = own.filter(|c| c.project() == Some(&app.project) && !c.is_oneoff());
            let services = merged(&app.project, own.cloned().collect(), described.as_deref());
            let covered = |service: &Service| {
                configs.iter().any(|config| {
                    let named = [&service.name, &service.container].contains(&&config.service);
                    config.app_id == app.id && config.enabled && named
                })
            };
            let unprotected = services.iter().filter(|service| !covered(service));
            let unprotected = unprotected.filter_map(|service| {
                Some(Unprotected {
                    service: service.name.clone(),
                    holds: holds(service)?,
                })
            });
            found.insert(app.id, unprotected.collect());
        }
        Ok(found)
    }

    /// Whether the engine did not answer when it was last asked, a few seconds ago at most.
    pub async fn engine_is_away(&self) -> bool {
        self.containers_lately().await.is_none()
    }

    async fn containers_lately(&self) -> Option<Arc<Vec<Container>>> {
        let mut seen = self.0.seen.containers.lock().await;
        if let Some(listed) = &*seen
            && listed.at.elapsed() < FRESH
        {
            return listed.containers.clone();
        }
        let asked = timeout(PATIENCE, self.0.engine.containers()).await;
        let containers = asked.ok().and_then(Result::ok).map(Arc::new);
        *seen = Some(Listed {
            at: Instant::now(),
            containers: containers.clone(),
        });
        containers
    }

    async fn described_lately(&self, app: &apps::Model) -> Result<Option<Arc<Composition>>> {
        let of = (app.compose_path.clone(), app.compose_upload.clone());
        if of == (None, None) {
            return Ok(None);
        }
        let mut seen = self.0.seen.compositions.lock().await;
        if let Some(described) = seen.get(&app.id)
            && described.of == of
            && described.at.elapsed() < FRESH
        {
            return Ok(described.composition.clone());
        }
        let composition = self.composition(app).await?;
        let composition = composition.and_then(Result::ok).map(Arc::new);
        let described = Described {
            at: Instant::now(),
            of,
            composition: composition.clone(),
        };
        seen.insert(app.id, described);
        Ok(composition)
    }
}

/// A database by its image or label, else the first mount that data is written to.
fn holds(service: &Service) -> Option<String> {
    let asked_for = service.origin == Origin::Engine || service.profiles.is_empty();
    if service.label == Label::Declined || !asked_for {
        return None;
    }
    // What fits by paths alone fits every mount, configuration that is only read among them.
    let database = service
        .strategies
        .iter()
        .find(|(_, detected)| detected.paths.is_empty())
        .and_then(|(kind, _)| strategy::find(kind));
    if let Some(database) = database {
        return Some(database.label().to_owned());
    }
    let mount = service.mounts.iter().find(|mount| is_data(mount))?;
    let kind = if mount.kind == "bind" {
        "folder"
    } else {
        "volume"
    };
    Some(format!("{kind} {}", mount.source))
}

fn is_data(mount: &Mount) -> bool {
    /// Folders of the host that hold no data of an app.
    const SYSTEM: [&str; 6] = [
        "/proc",
        "/sys",
        "/dev",
        "/run",
        "/var/run",
        "/etc/localtime",
    ];
    let source = mount.source.as_str();
    let is_socket = Path::new(source).extension() == Some(OsStr::new("sock"));
    let system = || {
        let below = |folder: &str| {
            let rest = source.strip_prefix(folder);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        SYSTEM.into_iter().any(below) || is_socket || source == "/"
    };
    match mount.kind.as_str() {
        _ if mount.read_only || source.is_empty() => false,
        "bind" => !system(),
        "volume" => !is_anonymous(source),
        _ => false,
    }
}

/// Docker names a volume that nobody named by 64 hexadecimal digits.
fn is_anonymous(volume: &str) -> bool {
    volume.len() == 64 && volume.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_what_is_written_to_and_has_a_name() {
        let mount = |kind: &str, source: &str, read_only| Mount {
            kind: kind.into(),
            source: source.into(),
            destination: "/data".into(),
            read_only,
        };
        for (kind, source, read_only, data) in [
            ("volume", "shop_data", false, true),
            ("volume", "shop_data", true, false),
            ("volume", "", false, false),
            ("volume", &"0af3".repeat(16), false, false),
            ("bind", "/srv/shop/uploads", false, true),
            ("bind", "/srv/shop/nginx.conf", true, false),
            ("bind", "/var/run/docker.sock", false, false),
            ("bind", "/srv/app.sock", false, false),
            ("bind", "/runs", false, true),
            ("bind", "/", false, false),
            ("tmpfs", "", false, false),
        ] {
            let mount = mount(kind, source, read_only);
            assert_eq!(is_data(&mount), data, "{mount:?}");
        }
    }
}
