//! What a person should see before they say yes to a restore.

use poem_openapi::Object;

use crate::{
    app::Preview,
    web::api::{runs::output::Contents, values::Time},
};

#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct RestorePreview {
    run_id: i64,
    app_slug: String,
    service: String,
    /// When the backup was made.
    made_at: Time,
    strategy: String,
    /// What was dumped, and from which server.
    subject: String,
    server: String,
    contents: Contents,
    size_bytes: u64,
    raw_bytes: u64,
    /// Public keys that the backup is encrypted to; empty when it is not.
    recipients: Vec<String>,
    /// A restore has to be given the private key of one of them: the server has none of its own.
    identity_needed: bool,
    warnings: Vec<String>,
    /// Where the backup lies, or should.
    places: Vec<RestorePlace>,
    /// The service as it is now.
    destination: Option<Destination>,
    /// Why it cannot be restored into.
    problem: Option<String>,
    /// How long the dump took; a restore takes about twice as long.
    dump_ms: Option<i64>,
    /// Commands that restore the backup with stock tools, in order.
    restore_by_hand: Vec<String>,
}

/// A place that a restore can be told to read from.
#[derive(Object)]
#[oai(read_only_all)]
pub struct RestorePlace {
    /// For the restore's `from`.
    from: u32,
    /// In words.
    target: String,
    /// Whether it is said to hold the backup.
    holds: bool,
}

#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct Destination {
    container: String,
    image: String,
    server: String,
    subject: String,
    size_bytes: Option<u64>,
}

impl From<Preview> for RestorePreview {
    fn from(preview: Preview) -> Self {
        let pin = preview.run.pin();
        let own = pin.is_some_and(|pin| pin.spec.encryption.own.is_some());
        let manifest = preview.manifest;
        let places = preview.places.into_iter().map(|place| RestorePlace {
            from: place.number,
            target: place.at,
            holds: place.holds,
        });
        let (destination, problem) = match preview.destination {
            Ok(now) => {
                let destination = Destination {
                    container: now.container,
                    image: now.image,
                    server: now.server,
                    subject: now.subject,
                    size_bytes: now.size,
                };
                (Some(destination), None)
            }
            Err(problem) => (None, Some(problem)),
        };
        Self {
            run_id: preview.run.id,
            app_slug: preview.app.slug,
            service: preview.service,
            made_at: manifest.started_at.into(),
            strategy: manifest.strategy,
            subject: manifest.source.subject,
            server: manifest.source.server,
            contents: manifest.fingerprint.into(),
            size_bytes: manifest.artifact.stored_bytes,
            raw_bytes: manifest.artifact.raw_bytes,
            identity_needed: manifest.artifact.is_encrypted() && !own,
            recipients: manifest.artifact.recipients,
            warnings: manifest.warnings,
            places: places.collect(),
            destination,
            problem,
            dump_ms: preview.dump_ms,
            restore_by_hand: manifest.restore_by_hand,
        }
    }
}
