//! What will happen, in one sentence, and each part with the way back to it.

use super::step::Step;
use crate::{
    domain::failure::FieldErrors,
    strategy, target,
    web::{pages::config::Values, request::Form, words},
};

pub struct Summary {
    /// Empty while there are problems.
    pub sentence: String,
    pub parts: Vec<Part>,
    pub problems: Vec<(Step, String, String)>,
}

pub struct Part {
    pub step: Step,
    pub said: Vec<String>,
}

impl Summary {
    pub fn new(values: &Values, form: &Form, errors: &FieldErrors) -> Self {
        let problems = errors.0.iter();
        let problems = problems
            .map(|(name, problem)| (Step::of_problem(name, form), name.clone(), problem.clone()))
            .collect();
        let said = Said { values, form };
        Self {
            sentence: if errors.0.is_empty() {
                said.sentence()
            } else {
                String::new()
            },
            parts: vec![
                part(Step::What, [said.what()]),
                part(Step::Where, [said.place()].into_iter().chain(said.copies())),
                part(Step::When, said.when()),
                part(Step::Around, said.around()),
                part(Step::Keep, said.keep()),
            ],
            problems,
        }
    }
}

fn part(step: Step, said: impl IntoIterator<Item = String>) -> Part {
    Part {
        step,
        said: said.into_iter().collect(),
    }
}

struct Said<'a> {
    values: &'a Values,
    form: &'a Form,
}

impl Said<'_> {
    fn sentence(&self) -> String {
        let runs = match self.values.get("schedule_cron") {
            "" => "Whenever somebody asks for it".to_owned(),
            _ if !self.is_on("enabled") => {
                "Whenever somebody asks for it, for it is paused".to_owned()
            }
            cron => format!("{} ({})", words::cron(cron), self.values.get("time_zone")),
        };
        let proof = if self.is_on("verify_upload") {
            ", reads each one back and proves it"
        } else {
            ""
        };
        let sealed = match self.recipients() {
            0 => "",
            _ => ", encrypts it",
        };
        format!(
            "{runs} Holdfast backs up {} to {}{sealed}{proof}, and keeps {}.",
            self.what(),
            self.place(),
            lower(&self.rule()),
        )
    }

    fn what(&self) -> String {
        let strategy = strategy::find(self.values.get("strategy"));
        let label = strategy.map_or("nothing yet", |it| it.label());
        let service = self.values.get("service");
        let paths: Vec<&str> = self.values.get("paths").lines().collect();
        let named = self.option("database");
        let detail = match (named, paths.as_slice()) {
            (Some("*"), _) => ", all databases".to_owned(),
            (Some(database), _) => format!(", {database}"),
            (None, []) => String::new(),
            (None, paths) => format!(", {}", words::listed(paths.iter().copied(), 3)),
        };
        format!("{label} of {service}{detail}")
    }

    fn option(&self, name: &str) -> Option<&str> {
        let strategy = self.values.get("strategy");
        let value = self.values.get(&format!("strategy.{strategy}.{name}"));
        Some(value).filter(|value| !value.is_empty())
    }

    fn place(&self) -> String {
        let kind = self.values.get("target");
        let label = target::kind(kind).map_or("nowhere yet", |it| it.label());
        let value = |name: &str| self.values.get(&format!("target.{kind}.{name}"));
        match value("bucket") {
            "" => label.to_owned(),
            bucket => {
                let host = value("endpoint").trim_start_matches("https://");
                let at = if host.is_empty() { "Amazon S3" } else { host };
                format!("the bucket {bucket} at {at}")
            }
        }
    }

    fn copies(&self) -> Option<String> {
        let count = self.filled("copies", "target");
        (count > 0).then(|| match count {
            1 => "a copy in one further place".to_owned(),
            count => format!("copies in {count} further places"),
        })
    }

    fn when(&self) -> Vec<String> {
        let cron = self.values.get("schedule_cron");
        let mut said = vec![words::cron(cron)];
        if !cron.is_empty() {
            said.push(format!("time zone {}", self.values.get("time_zone")));
        }
        if !self.is_on("enabled") {
            said.push("paused".to_owned());
        }
        match self.values.get("blackout") {
            "" => {}
            hours => said.push(format!("not at {hours}")),
        }
        said
    }

    fn around(&self) -> Vec<String> {
        let hooks = self.filled("pre_hooks", "type") + self.filled("post_hooks", "type");
        let mut said = Vec::new();
        if hooks > 0 {
            said.push(words::plural(hooks, "hook"));
        }
        match self.values.get("ping_url") {
            "" => {}
            ping => said.push(format!("pings {ping}")),
        }
        if said.is_empty() {
            said.push("nothing".to_owned());
        }
        said
    }

    /// How many rows of that group say something in that part.
    fn filled(&self, group: &str, part: &str) -> usize {
        let rows = self.form.group(group).into_iter();
        let said = rows.filter(|(name, value)| {
            let is_part = name.split_once('.').is_some_and(|(_, name)| name == part);
            is_part && !value.is_empty()
        });
        said.count()
    }

    fn keep(&self) -> Vec<String> {
        let verified = if self.is_on("verify_upload") {
            "each is read back and verified"
        } else {
            "not read back"
        };
        let encrypted = match self.recipients() {
            0 => "not encrypted".to_owned(),
            keys => format!("encrypted to {}", words::plural(keys, "key")),
        };
        vec![
            self.rule(),
            verified.to_owned(),
            self.values.get("compression").to_owned(),
            encrypted,
        ]
    }

    fn rule(&self) -> String {
        let number = |name: &str| self.values.get(name).to_owned();
        match self.values.get("retention_mode") {
            "time" => format!("The backups of {} days", number("retention_days")),
            "gfs" => {
                let each = [
                    ("keep_last", "newest"),
                    ("keep_daily", "daily"),
                    ("keep_weekly", "weekly"),
                    ("keep_monthly", "monthly"),
                    ("keep_yearly", "yearly"),
                ];
                let each = each.map(|(name, word)| (number(name), word));
                let kept = each
                    .iter()
                    .filter(|(number, _)| !["", "0"].contains(&number.as_str()));
                let kept: Vec<String> = kept
                    .map(|(number, word)| format!("{number} {word}"))
                    .collect();
                kept.join(", ")
            }
            _ => format!("The newest {}", number("retention_count")),
        }
    }

    fn recipients(&self) -> usize {
        self.values.get("recipients").split_whitespace().count()
    }

    fn is_on(&self, name: &str) -> bool {
        !self.values.get(name).is_empty()
    }
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}
