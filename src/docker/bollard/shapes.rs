//! bollard's shapes and ours.

use bollard::models::{
    ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum, ExecConfig, MountPoint,
};

use crate::{
    docker::{Command, Container, Mount},
    domain::secret::Secret,
};

pub fn config(command: Command) -> ExecConfig {
    let env = |(key, value): &(String, Secret)| format!("{key}={}", value.expose());
    ExecConfig {
        attach_stdin: Some(command.stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(false),
        env: Some(command.env.iter().map(env).collect()),
        cmd: Some(command.argv),
        user: command.user,
        ..Default::default()
    }
}

pub fn listed(from: ContainerSummary) -> Container {
    Container {
        id: from.id.unwrap_or_default(),
        name: from
            .names
            .unwrap_or_default()
            .first()
            .map_or_else(String::new, |n| bare(n)),
        image: from.image.unwrap_or_default(),
        image_id: from.image_id.unwrap_or_default(),
        running: matches!(
            from.state,
            Some(ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::PAUSED)
        ),
        labels: from.labels.unwrap_or_default().into_iter().collect(),
        env: Secret::default(),
        mounts: mounts(from.mounts),
    }
}

pub fn inspected(from: ContainerInspectResponse) -> Container {
    let config = from.config.unwrap_or_default();
    let env = config.env.unwrap_or_default();
    let env = env.iter().filter_map(|line| line.split_once('='));
    Container {
        id: from.id.unwrap_or_default(),
        name: bare(&from.name.unwrap_or_default()),
        image: config.image.unwrap_or_default(),
        image_id: from.image.unwrap_or_default(),
        running: from.state.and_then(|state| state.running).unwrap_or(false),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        env: Secret::new(env.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()),
        mounts: mounts(from.mounts),
    }
}

fn bare(name: &str) -> String {
    name.trim_start_matches('/').to_owned()
}

fn mounts(from: Option<Vec<MountPoint>>) -> Vec<Mount> {
    let mount = |from: MountPoint| Mount {
        kind: from.typ.unwrap_or_default(),
        source: from.name.or(from.source).unwrap_or_default(),
        destination: from.destination.unwrap_or_default(),
        read_only: from.rw == Some(false),
    };
    from.unwrap_or_default().into_iter().map(mount).collect()
}
