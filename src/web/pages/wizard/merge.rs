//! What was entered on all steps so far, as one form. What a step sends takes the place of what stood in
//! its own inputs; a mask keeps the secret that it stands for.

use crate::{
    app::{ConfigInput, Fields, MASK},
    domain::failure::FieldErrors,
    web::{
        pages::config::{
            Detection, OTHER, Values, copies_again, fresh, holds_secret, hooks_again, paths_again,
            plan, preset,
        },
        request::Form,
    },
};

use super::step::Step;

#[derive(Debug, Clone, Default)]
pub struct Entered(pub Fields);

impl Entered {
    /// With the service that was asked for, else the first that fits.
    pub fn fresh(found: &Detection, service: &str, strategy: &str) -> Self {
        let (service, strategy) = found.pick(service, strategy).unwrap_or((service, strategy));
        Self(fresh(service, strategy))
    }

    pub fn form(&self) -> Form {
        Form::of(self.0.clone())
    }

    /// What it asks for, with its secrets.
    pub fn input(&self) -> Result<ConfigInput, FieldErrors> {
        Values::sent(&self.form()).1
    }

    /// As it is shown: a secret that is set is a mask.
    pub fn values(&self) -> Values {
        let masked = self.0.iter().map(|(name, value)| {
            let hide = holds_secret(name) && !value.is_empty();
            let value = if hide { MASK.to_owned() } else { value.clone() };
            (name.clone(), value)
        });
        let (values, _) = Values::sent(&Form::of(masked));
        match self.0.get("ping_url").map(String::as_str) {
            None | Some("") => values,
            Some(address) => values.with("ping_url", format!("{}/{MASK}", origin(address))),
        }
    }

    #[must_use]
    pub fn after(self, step: Step, sent: &Form) -> Self {
        let Self(before) = self;
        // What one strategy or target was told stays while another is looked at.
        let told = |name: &str| name.starts_with("strategy.") || name.starts_with("target.");
        let mut fields: Fields = before
            .iter()
            .filter(|(name, _)| !step.owns(name) || told(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        for (name, value) in sent.fields().filter(|(name, _)| step.owns(name)) {
            let masked = holds_secret(name) && value.ends_with(MASK);
            let value = match before.get(name).filter(|_| masked) {
                Some(kept) => kept.clone(),
                None if masked => continue,
                None => value.to_owned(),
            };
            // The first of a name counts, as everywhere.
            if told(name) || !fields.contains_key(name) {
                fields.insert(name.to_owned(), value);
            }
        }
        let mut entered = Self(fields);
        match step {
            Step::What => entered.pick(),
            Step::Where => {
                let form = Form::of(own(sent).chain(entered.0.clone()));
                entered.0.extend(preset(&form));
                entered.replace("copies.", copies_again(&entered.form()));
            }
            Step::When => entered.schedule(),
            Step::Around => {
                for prefix in ["pre_hooks.", "post_hooks."] {
                    entered.0.retain(|name, _| !name.starts_with(prefix));
                }
                entered.0.extend(hooks_again(sent));
            }
            Step::Keep | Step::Summary => {}
        }
        entered
    }

    /// What was found and picked, as service and strategy; the paths as one value.
    fn pick(&mut self) {
        let picked = self.0.remove("pick").unwrap_or_default();
        if let Some((service, strategy)) = picked.rsplit_once('/').filter(|_| picked != OTHER) {
            self.0.insert("service".to_owned(), service.to_owned());
            self.0.insert("strategy".to_owned(), strategy.to_owned());
        }
        let paths = paths_again(&self.form());
        self.0.retain(|name, _| !name.starts_with("path."));
        self.0.extend(paths);
    }

    /// As an expression, unless the inputs make none: then they are shown again.
    fn schedule(&mut self) {
        if let Ok(cron) = plan::cron_of(&self.form()) {
            for name in plan::INPUTS {
                self.0.remove(name);
            }
            self.0.insert("schedule_cron".to_owned(), cron);
        }
    }

    fn replace(&mut self, prefix: &str, with: Vec<(String, String)>) {
        self.0.retain(|name, _| !name.starts_with(prefix));
        self.0.extend(with);
    }
}

fn own(form: &Form) -> impl Iterator<Item = (String, String)> {
    form.fields()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
}

/// `https://host:port` of an address; what follows is the secret.
fn origin(address: &str) -> &str {
    let start = address.find("://").map_or(0, |at| at + 3);
    let end = address[start..]
        .find('/')
        .map_or(address.len(), |at| start + at);
    // A name and password before the host are no part of it.
    if address[start..end].contains('@') {
        ""
    } else {
        &address[..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(fields: &[(&str, &str)]) -> Form {
        Form::of(
            fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    fn entered() -> Entered {
        Entered(fresh("db", "postgres"))
    }

    #[test]
    fn a_secret_is_kept_and_never_shown() {
        let typed = form(&[
            ("target", "s3"),
            ("target.s3.bucket", "backups"),
            ("target.s3.secret_key", "typed-once"),
            ("copies.0.target", ""),
            ("copies.1.target", "s3"),
            ("copies.1.s3.secret_key", "another-once"),
        ]);
        let entered = entered().after(Step::Where, &typed);
        let shown = entered.values();
        assert_eq!(shown.get("target.s3.secret_key"), MASK);
        assert_eq!(shown.get("target.s3.bucket"), "backups");
        // The empty row is gone, so the next one stands in its place.
        assert_eq!(shown.get("copies.0.s3.secret_key"), MASK);
        let again = form(&[
            ("target", "s3"),
            ("target.s3.bucket", "backups"),
            ("target.s3.secret_key", MASK),
            ("copies.0.target", "s3"),
            ("copies.0.s3.secret_key", MASK),
        ]);
        let entered = entered.after(Step::Where, &again);
        let input = entered.input().unwrap();
        let settings = input.target_settings.unwrap();
        assert_eq!(settings["secret_key"].expose(), "typed-once");
        let copy = &input.copies.unwrap()[0];
        assert_eq!(copy.settings["secret_key"].expose(), "another-once");

        // Another target is looked at, and the first one again.
        let entered = entered.after(Step::Where, &form(&[("target", "local")]));
        let back = entered.after(Step::Where, &form(&[("target", "s3")]));
        let settings = back.input().unwrap().target_settings.unwrap();
        assert_eq!(settings["secret_key"].expose(), "typed-once");
        // A mask of nothing is nothing.
        let mask = form(&[("target", "s3"), ("target.s3.secret_key", MASK)]);
        let none = self::entered().after(Step::Where, &mask);
        assert!(!none.0.contains_key("target.s3.secret_key"));
    }

    #[test]
    fn a_ping_address_is_shown_as_far_as_it_is_no_secret() {
        let typed = form(&[("ping_url", "https://hc-ping.com/0123-secret")]);
        let entered = entered().after(Step::Around, &typed);
        let shown = entered.values().get("ping_url").to_owned();
        assert_eq!(shown, format!("https://hc-ping.com/{MASK}"));
        let again = entered.after(Step::Around, &form(&[("ping_url", &shown)]));
        let input = again.input().unwrap().ping_url.unwrap();
        assert_eq!(input.expose(), "https://hc-ping.com/0123-secret");
        assert_eq!(origin("https://ada:pw@host/x"), "");
    }

    #[test]
    fn each_step_changes_its_own_alone() {
        let entered = entered();
        assert_eq!(entered.values().get("enabled"), "on");
        let off = form(&[("schedule_cron", "5 5 * * *"), ("service", "evil")]);
        let entered = entered.after(Step::When, &off);
        assert_eq!(
            entered.values().get("enabled"),
            "",
            "an empty box sends nothing"
        );
        assert_eq!(entered.values().get("service"), "db");
        let picked = entered.after(
            Step::What,
            &form(&[("pick", "cache/redis"), ("service", "db")]),
        );
        assert_eq!(picked.values().get("service"), "cache");
        assert_eq!(picked.values().get("strategy"), "redis");
        assert_eq!(picked.values().get("schedule_cron"), "5 5 * * *");
        let other = picked.after(
            Step::What,
            &form(&[
                ("pick", OTHER),
                ("service", "files"),
                ("strategy", "volume"),
                ("path.1", "/data"),
                ("paths", "/etc/app"),
            ]),
        );
        assert_eq!(other.input().unwrap().paths.unwrap(), ["/data", "/etc/app"]);
        let hooked = form(&[("pre_hooks.1.type", "stop"), ("pre_hooks.1.service", "db")]);
        let hooked = other.after(Step::Around, &hooked);
        assert_eq!(hooked.values().get("pre_hooks.0.type"), "stop");
        assert_eq!(hooked.input().unwrap().pre_hooks.unwrap().len(), 1);
    }

    #[test]
    fn a_provider_fills_in_what_it_knows() {
        let chosen = form(&[
            ("target", "s3"),
            ("preset", "wasabi"),
            ("show", "preset"),
            ("target.s3.bucket", "backups"),
        ]);
        let entered = entered().after(Step::Where, &chosen);
        let values = entered.values();
        assert_eq!(values.get("target.s3.region"), "eu-central-1");
        assert!(values.get("target.s3.endpoint").ends_with("wasabisys.com"));
        assert_eq!(values.get("target.s3.bucket"), "backups");
    }
}
