//! Whether the hooks of a config can do what they are asked: looked at before it is stored, down to
//! the services that they name.

use std::collections::BTreeMap;

use crate::{
    app::{Holdfast, sites},
    docker::Container,
    domain::{
        config::ConfigSpec,
        failure::{FieldErrors, one_of},
        hook::{Hook, Phase},
    },
    hook,
    readmodel::apps,
    strategy::Strategy,
};

pub(in crate::app) const COMMANDS_ARE_OFF: &str =
    "commands in hooks are off on this server; it allows them when it is started with --exec-hooks";

/// The hooks under the names of their types.
pub(in crate::app) fn named(mut hooks: Vec<Hook>) -> Vec<Hook> {
    for hook in &mut hooks {
        if let Some(kind) = hook::find(&hook.kind) {
            kind.name().clone_into(&mut hook.kind);
        }
    }
    hooks
}

/// What needs no look at the engine.
pub(in crate::app) fn check(spec: &ConfigSpec, commands: bool) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    for (phase, index, hook) in all(spec) {
        let place = phase.place(index);
        let Some(kind) = hook::find(&hook.kind) else {
            let known = one_of(hook::ALL.iter().map(|kind| kind.name()));
            errors.add(format!("{place}.type"), known);
            continue;
        };
        if let Some(why) = kind.refuses(phase) {
            errors.add(format!("{place}.type"), why);
        }
        if kind.takes_command() && !commands {
            errors.add(format!("{place}.type"), COMMANDS_ARE_OFF);
        }
        match (kind.takes_command(), &hook.command) {
            (true, None) => errors.add(
                format!("{place}.command"),
                format!("{} needs one", kind.name()),
            ),
            (false, Some(_)) => errors.add(
                format!("{place}.command"),
                format!("{} takes none", kind.name()),
            ),
            _ => {}
        }
    }
    errors.into_result()
}

impl Holdfast {
    /// Asks the engine for the services that hooks name, and whether their order makes sense.
    pub(in crate::app) async fn look_at_hooks(
        &self,
        app: &apps::Model,
        spec: &ConfigSpec,
        strategy: &dyn Strategy,
        own: &Container,
    ) -> Result<(), FieldErrors> {
        let mut errors = FieldErrors::default();
        // Containers that stand still, and since which hook.
        let mut stopped: BTreeMap<String, String> = BTreeMap::new();
        for (phase, index, hook) in all(spec) {
            if phase == Phase::After {
                stopped.clear();
            }
            let place = phase.place(index);
            let field = format!("{place}.service");
            let found = match self.containers_of(app, &hook.service).await {
                Ok(found) => found,
                Err(failure) => {
                    errors.add(field, sites::as_sentence(failure));
                    continue;
                }
            };
            let Some(kind) = hook::find(&hook.kind) else {
                continue;
            };
            let since = found
                .iter()
                .find_map(|container| stopped.get(&container.id));
            if let Some(since) = since
                && (kind.stops_service() || kind.needs_running())
            {
                errors.add(field, format!("it is stopped by {since} already"));
                continue;
            }
            if kind.starts_service() && since.is_some() {
                errors.add(
                    field,
                    "it is started again by itself as soon as the data is out; a start before the backup would end the stop",
                );
                continue;
            }
            if !kind.stops_service() {
                continue;
            }
            if found.iter().any(|container| container.id == own.id) && !strategy.backs_up_stopped()
            {
                let strategy = strategy.kind();
                errors.add(
                    field,
                    format!("a {strategy} backup needs its service running; stop what writes to it instead"),
                );
            }
            stopped.extend(found.into_iter().map(|c| (c.id, place.clone())));
        }
        errors.into_result()
    }
}

fn all(spec: &ConfigSpec) -> impl Iterator<Item = (Phase, usize, &Hook)> {
    [Phase::Before, Phase::After].into_iter().flat_map(|phase| {
        let hooks = spec.hooks(phase).iter().enumerate();
        hooks.map(move |(index, hook)| (phase, index, hook))
    })
}
