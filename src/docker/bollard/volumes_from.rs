//! Helpers: containers that lend their programs to the volumes of a service.
//!
//! They are never removed "with their volumes": a service that was removed meanwhile leaves its unnamed
//! volumes to nobody but the helper, and they hold its data.

use std::collections::HashMap;

use bollard::{
    errors::Error,
    models::{ContainerCreateBody, HealthConfig, HostConfig, Mount, MountType, MountVolumeOptions},
    query_parameters::{
        CreateContainerOptions, CreateImageOptionsBuilder, ListContainersOptionsBuilder,
        RemoveContainerOptionsBuilder,
    },
};
use futures_util::StreamExt;

use super::{DockerEngine, shapes::listed};
use crate::docker::{Container, DockerError, Engine, HelperOrder, Tools};

/// On every helper; its value is the id of the container it helps.
const LABEL: &str = "holdfast.helper";
/// A helper that everybody forgot ends after a week.
const LIFE: &str = "604800";

pub(super) async fn start(
    engine: &DockerEngine,
    order: HelperOrder<'_>,
) -> Result<Container, DockerError> {
    let image = match order.tools {
        Tools::Own => order.of.image_id.as_str(),
        Tools::Common => engine.helper_image.as_str(),
    };
    let id = match create(engine, order, image).await {
        Err(DockerError::NoSuchContainer(_)) if order.tools == Tools::Common => {
            pull(engine, image).await?;
            create(engine, order, image).await?
        }
        created => created?,
    };
    // From here on it is there; an engine that does not start it must not keep it.
    let started = match engine.start(&id).await {
        Ok(()) => engine.container(&id).await,
        Err(error) => Err(not_startable(error, order, image)),
    };
    if started.is_err()
        && let Err(error) = remove(engine, &id).await
    {
        tracing::warn!(%error, helper = %id, "a helper that did not start stays");
    }
    started
}

async fn create(
    engine: &DockerEngine,
    order: HelperOrder<'_>,
    image: &str,
) -> Result<String, DockerError> {
    let (docker, of) = engine.link.at(&order.of.id).await?;
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        user: Some("0:0".to_owned()),
        entrypoint: Some(vec!["sleep".to_owned()]),
        cmd: Some(vec![LIFE.to_owned()]),
        working_dir: Some("/".to_owned()),
        labels: Some(HashMap::from([(LABEL.to_owned(), order.of.id.clone())])),
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..HealthConfig::default()
        }),
        host_config: Some(HostConfig {
            mounts: Some(mounts(order)),
            network_mode: Some("none".to_owned()),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let created = docker
        .create_container(None::<CreateContainerOptions>, body)
        .await;
    Ok(created.map_err(|e| of.failed(e))?.id)
}

/// Each mount by its name: an engine asked for "the volumes from" a container fails when one of them is
/// in memory (`--mount type=tmpfs`), which nobody else could see anyway.
fn mounts(order: HelperOrder<'_>) -> Vec<Mount> {
    let shared = order.of.mounts.iter();
    let shared = shared.filter_map(|mount| {
        let typ = match mount.kind.as_str() {
            "volume" => MountType::VOLUME,
            "bind" => MountType::BIND,
            _ => return None,
        };
        Some(Mount {
            // What the image has at that place must not be copied into an empty volume.
            volume_options: (typ == MountType::VOLUME).then(|| MountVolumeOptions {
                no_copy: Some(true),
                ..MountVolumeOptions::default()
            }),
            typ: Some(typ),
            source: Some(mount.source.clone()),
            target: Some(mount.destination.clone()),
            read_only: Some(mount.read_only || order.read_only),
            ..Mount::default()
        })
    });
    shared.collect()
}

/// Brings the helper image from its registry, for the first helper of this kind.
async fn pull(engine: &DockerEngine, image: &str) -> Result<(), DockerError> {
    let docker = engine.link.docker().await?;
    let options = CreateImageOptionsBuilder::default()
        .from_image(image)
        .build();
    let mut progress = docker.create_image(Some(options), None, None);
    while let Some(step) = progress.next().await {
        step.map_err(|error| match engine.link.lost(error) {
            unreachable @ DockerError::Unreachable { .. } => unreachable,
            error => DockerError::NoHelperImage {
                image: image.to_owned(),
                reason: error.to_string(),
            },
        })?;
    }
    Ok(())
}

/// Engines find out that the image has no `sleep` when they start it, and say so in many ways.
fn not_startable(error: DockerError, order: HelperOrder<'_>, image: &str) -> DockerError {
    let words = error.to_string();
    if words.contains("executable file") || words.contains("no such file") {
        let container = match order.tools {
            Tools::Own => order.of.name.clone(),
            Tools::Common => image.to_owned(),
        };
        return DockerError::NoSuchProgram {
            container,
            program: "sleep".to_owned(),
        };
    }
    error
}

pub(super) async fn remove(engine: &DockerEngine, helper: &str) -> Result<(), DockerError> {
    let (docker, of) = engine.link.at(helper).await?;
    let force = RemoveContainerOptionsBuilder::default()
        .force(true)
        .v(false)
        .build();
    match docker.remove_container(helper, Some(force)).await {
        // Another removal of it is under way.
        Ok(())
        | Err(Error::DockerResponseServerError {
            status_code: 409, ..
        }) => Ok(()),
        Err(error) => match of.failed(error) {
            DockerError::NoSuchContainer(_) => Ok(()),
            error => Err(error),
        },
    }
}

pub(super) async fn sweep(engine: &DockerEngine, container: &str) -> Result<usize, DockerError> {
    let docker = engine.link.docker().await?;
    let ours = HashMap::from([("label", vec![format!("{LABEL}={container}")])]);
    let options = ListContainersOptionsBuilder::default()
        .all(true)
        .filters(&ours)
        .build();
    let list = docker
        .list_containers(Some(options))
        .await
        .map_err(|e| engine.link.lost(e))?;
    let helpers: Vec<Container> = list.into_iter().map(listed).collect();
    for helper in &helpers {
        remove(engine, &helper.id).await?;
    }
    Ok(helpers.len())
}
