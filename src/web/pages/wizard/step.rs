//! The steps, what of the form belongs to each, and so which problems are whose.

use crate::{domain::failure::FieldErrors, strategy, target, web::request::Form};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    What,
    Where,
    When,
    Around,
    Keep,
    Summary,
}

impl Step {
    pub const ALL: [Self; 6] = [
        Self::What,
        Self::Where,
        Self::When,
        Self::Around,
        Self::Keep,
        Self::Summary,
    ];

    /// In the address.
    pub fn name(self) -> &'static str {
        match self {
            Self::What => "what",
            Self::Where => "where",
            Self::When => "when",
            Self::Around => "around",
            Self::Keep => "keep",
            Self::Summary => "summary",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::What => "What",
            Self::Where => "Where",
            Self::When => "When",
            Self::Around => "Around it",
            Self::Keep => "How long",
            Self::Summary => "Summary",
        }
    }

    pub fn question(self) -> &'static str {
        match self {
            Self::What => "What is to be backed up?",
            Self::Where => "Where are the backups kept?",
            Self::When => "When does it run?",
            Self::Around => "Does anything have to happen around it?",
            Self::Keep => "How long are backups kept, and who can read them?",
            Self::Summary => "Is this right?",
        }
    }

    pub fn number(self) -> usize {
        Self::ALL.iter().position(|step| *step == self).unwrap_or(0) + 1
    }

    pub fn before(self) -> Self {
        Self::ALL[self.number().saturating_sub(2)]
    }

    pub fn after(self) -> Self {
        Self::ALL.get(self.number()).copied().unwrap_or(self)
    }

    /// Whether the input of that name stands on this step.
    pub fn owns(self, input: &str) -> bool {
        input_of(input) == Some(self)
    }

    /// The step on which a problem is mended.
    pub fn of_problem(name: &str, form: &Form) -> Self {
        let first = name.split(['.', '[']).next().unwrap_or_default();
        let of = |fields: Option<&[crate::domain::form::Field]>| {
            fields.is_some_and(|fields| fields.iter().any(|field| field.name == name))
        };
        match first {
            "options" | "credentials" => Self::What,
            "target_config_json" => Self::Where,
            "encryption" => Self::Keep,
            _ => match input_of(first) {
                Some(step) => step,
                None if of(
                    strategy::find(form.text("strategy")).map(strategy::Strategy::fields)
                ) =>
                {
                    Self::What
                }
                None if of(target::kind(form.text("target")).map(target::TargetKind::fields)) => {
                    Self::Where
                }
                None => Self::What,
            },
        }
    }

    /// Those of the problems that belong here.
    pub fn of(self, errors: &FieldErrors, form: &Form) -> FieldErrors {
        let all = errors.0.iter();
        let mine = all.filter(|(name, _)| Self::of_problem(name, form) == self);
        FieldErrors(
            mine.map(|(name, problem)| (name.clone(), problem.clone()))
                .collect(),
        )
    }
}

/// By its name, or that of its group.
fn input_of(name: &str) -> Option<Step> {
    let first = name.split('.').next().unwrap_or_default();
    Some(match first {
        "pick" | "service" | "strategy" | "path" | "paths" => Step::What,
        "target" | "preset" | "copies" => Step::Where,
        "plan" | "at" | "on" | "month_day" | "every" | "schedule_was" | "schedule_cron"
        | "time_zone" | "missed_policy" | "missed_window" | "jitter_seconds" | "blackout"
        | "enabled" => Step::When,
        "pre_hooks" | "post_hooks" | "ping_url" => Step::Around,
        "retention_mode" | "retention_count" | "retention_days" | "keep_last" | "keep_daily"
        | "keep_weekly" | "keep_monthly" | "keep_yearly" | "compression" | "verify_upload"
        | "recipients" | "server_key" => Step::Keep,
        "name" => Step::Summary,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_has_its_step() {
        let form = Form::of([
            ("strategy".to_owned(), "postgres".to_owned()),
            ("target".to_owned(), "s3".to_owned()),
        ]);
        for (problem, step) in [
            ("service", Step::What),
            ("options.database", Step::What),
            ("database", Step::What),
            ("paths", Step::What),
            ("bucket", Step::Where),
            ("target_config_json.endpoint", Step::Where),
            ("copies[0].bucket", Step::Where),
            ("schedule_cron", Step::When),
            ("pre_hooks[1].service", Step::Around),
            ("encryption", Step::Keep),
            ("keep_daily", Step::Keep),
            ("name", Step::Summary),
            ("something new", Step::What),
        ] {
            assert_eq!(Step::of_problem(problem, &form), step, "{problem}");
        }
    }

    #[test]
    fn steps_follow_each_other() {
        assert_eq!(Step::What.before(), Step::What);
        assert_eq!(Step::What.after(), Step::Where);
        assert_eq!(Step::Summary.before(), Step::Keep);
        assert_eq!(Step::Summary.after(), Step::Summary);
        assert_eq!(Step::parse("keep"), Some(Step::Keep));
        assert_eq!(Step::parse("Keep"), None);
    }
}
