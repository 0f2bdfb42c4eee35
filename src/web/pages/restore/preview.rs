//! What a restore would do, before anybody says yes. Pure.

use chrono::{DateTime, Utc};

use crate::{
    app::{Preview, Service, Whereabout},
    web::{
        catalog,
        words::{self, Moment},
    },
};

#[derive(Debug, Clone)]
pub struct PreviewView {
    pub run: i64,
    pub app_slug: String,
    pub app_name: String,
    pub title: String,
    pub taken: Moment,
    pub service: String,
    /// Services to restore into: name and whether it is the chosen one.
    pub services: Vec<(String, bool)>,
    /// Places to read from: number, name and whether it is the chosen one; empty when there is one only.
    pub places: Vec<(u32, String, bool)>,
    /// The backup, and the destination as it is now.
    pub rows: Vec<Compared>,
    /// Why it cannot be restored into.
    pub problem: Option<String>,
    pub possible: bool,
    pub overwritten: String,
    pub estimate: Option<String>,
    /// The server of the backup and that of the destination differ.
    pub versions_differ: bool,
    pub holds: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    pub name: &'static str,
    pub backup: String,
    pub now: String,
}

impl PreviewView {
    pub fn new(
        preview: &Preview,
        services: &[Service],
        from: Option<u32>,
        now: DateTime<Utc>,
    ) -> Self {
        let manifest = &preview.manifest;
        let (rows, problem, overwritten, versions_differ) = match &preview.destination {
            Ok(there) => (
                vec![
                    row("Content", &manifest.source.subject, &there.subject),
                    row("Server", &manifest.source.server, &there.server),
                    row("Image", &manifest.source.image, &there.image),
                    row("Container", &manifest.source.container, &there.container),
                    row(
                        "Size",
                        &words::size(manifest.artifact.raw_bytes),
                        &there.size.map_or_else(|| "–".to_owned(), words::size),
                    ),
                ],
                None,
                format!("{} in {}", there.subject, there.container),
                major(&manifest.source.server) != major(&there.server),
            ),
            Err(problem) => (Vec::new(), Some(problem.clone()), String::new(), false),
        };
        let pin = preview.run.pin();
        let print = &manifest.fingerprint;
        Self {
            run: preview.run.id,
            app_slug: preview.app.slug.clone(),
            app_name: preview.app.name.clone(),
            title: pin.map_or_else(
                || catalog::strategy_tag(&manifest.strategy).label,
                |pin| catalog::config_title(&pin.spec),
            ),
            taken: Moment::new(now, manifest.finished_at),
            service: preview.service.clone(),
            services: offered(&preview.service, services),
            places: places(&preview.places, from),
            rows,
            possible: problem.is_none(),
            problem,
            overwritten,
            // Writing costs more than reading, and it is checked before and after.
            estimate: preview
                .dump_ms
                .map(|ms| words::duration((2 * ms).max(1_000))),
            versions_differ,
            holds: (print.total() > 0).then(|| {
                let parts = words::plural(print.counts.len(), "part");
                format!("{} {} in {parts}", words::count(print.total()), print.unit)
            }),
        }
    }
}

fn row(name: &'static str, backup: &str, now: &str) -> Compared {
    Compared {
        name,
        backup: backup.to_owned(),
        now: now.to_owned(),
    }
}

fn places(places: &[Whereabout], from: Option<u32>) -> Vec<(u32, String, bool)> {
    let several = places.len() > 1;
    let holding = places.iter().filter(|place| place.holds && several);
    holding
        .map(|place| (place.number, place.at.clone(), from == Some(place.number)))
        .collect()
}

fn offered(chosen: &str, services: &[Service]) -> Vec<(String, bool)> {
    let mut names: Vec<String> = services
        .iter()
        .filter(|service| service.running || service.name == chosen)
        .map(|service| service.name.clone())
        .collect();
    names.push(chosen.to_owned());
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| {
            let is_chosen = name == chosen;
            (name, is_chosen)
        })
        .collect()
}

/// `16` of `16.4`.
fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or(version)
}
