//! A schedule put together from plain inputs: each day at a time, on some weekdays, once a month, every few
//! hours, as a cron expression, or never. An expression that was not touched stays to the letter: it is
//! written anew only when the inputs say something else than it does.

use askama::Template;

use super::values::Values;
use crate::{
    domain::failure::FieldErrors,
    web::{field::Field, parts, request::Form},
};

/// Names of the inputs, in order.
pub const INPUTS: [&str; 13] = [
    "plan",
    "at",
    "on.1",
    "on.2",
    "on.3",
    "on.4",
    "on.5",
    "on.6",
    "on.0",
    "month_day",
    "every",
    "schedule_was",
    "schedule_cron",
];
/// Number in a cron expression, in the order of a week, and name.
const WEEK: [(u32, &str, &str); 7] = [
    (1, "Mo", "Monday"),
    (2, "Tu", "Tuesday"),
    (3, "We", "Wednesday"),
    (4, "Th", "Thursday"),
    (5, "Fr", "Friday"),
    (6, "Sa", "Saturday"),
    (0, "Su", "Sunday"),
];
const EVERY: [u32; 7] = [1, 2, 3, 4, 6, 8, 12];
const KINDS: [(&str, &str); 6] = [
    ("daily", "Daily"),
    ("weekly", "Weekly"),
    ("monthly", "Monthly"),
    ("hours", "Every few hours"),
    ("custom", "Custom"),
    ("manual", "By hand"),
];

/// What an expression says, or the inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Plan {
    Daily(Time),
    /// Days as cron counts them, sorted.
    Weekly(Time, Vec<u32>),
    Monthly(Time, u32),
    Hours(u32),
    Custom,
    Manual,
}

/// Hour and minute.
type Time = (u32, u32);

impl Plan {
    fn kind(&self) -> &'static str {
        match self {
            Self::Daily(_) => "daily",
            Self::Weekly(..) => "weekly",
            Self::Monthly(..) => "monthly",
            Self::Hours(_) => "hours",
            Self::Custom => "custom",
            Self::Manual => "manual",
        }
    }

    /// `Custom` where the inputs cannot say the same.
    fn of(cron: &str) -> Self {
        let fields: Vec<&str> = cron.split_ascii_whitespace().collect();
        let &[minute, hour, day, "*", weekday] = fields.as_slice() else {
            return if cron.trim().is_empty() {
                Self::Manual
            } else {
                Self::Custom
            };
        };
        let number = |text: &str, most: u32| text.parse().ok().filter(|number| *number <= most);
        let time = number(hour, 23).zip(number(minute, 59));
        let plan = match (time, day, weekday) {
            (Some(time), "*", "*") => Some(Self::Daily(time)),
            (Some(time), "*", days) => days_of(days).map(|days| Self::Weekly(time, days)),
            (Some(time), day, "*") => number(day, 31)
                .filter(|day| *day > 0)
                .map(|day| Self::Monthly(time, day)),
            (None, "*", "*") if number(minute, 0).is_some() => hours_of(hour).map(Self::Hours),
            _ => None,
        };
        plan.unwrap_or(Self::Custom)
    }

    /// What the inputs say.
    fn sent(form: &Form) -> Result<Self, &'static str> {
        let time = || {
            let (hour, rest) = form.text("at").split_once(':')?;
            // A browser may add seconds.
            let minute = rest.get(..2)?;
            let time = hour.parse().ok().zip(minute.parse().ok());
            time.filter(|(hour, minute)| *hour < 24 && *minute < 60)
        };
        let time = || time().ok_or("say at what time, as 02:00");
        match form.text("plan") {
            "daily" => Ok(Self::Daily(time()?)),
            "weekly" => {
                let chosen = |day: &u32| form.checked(&format!("on.{day}"));
                let days: Vec<u32> = (0..7).filter(chosen).collect();
                if days.is_empty() {
                    return Err("choose at least one day of the week");
                }
                Ok(Self::Weekly(time()?, days))
            }
            "monthly" => {
                let day = form.text("month_day").parse();
                match day {
                    Ok(day @ 1..=31) => Ok(Self::Monthly(time()?, day)),
                    _ => Err("say on which day of the month, 1 to 31"),
                }
            }
            "hours" => match form.text("every").parse() {
                Ok(every) if EVERY.contains(&every) => Ok(Self::Hours(every)),
                _ => Err("choose how many hours lie between two runs"),
            },
            "manual" => Ok(Self::Manual),
            _ => Ok(Self::Custom),
        }
    }

    fn cron(&self) -> String {
        match self {
            Self::Daily((hour, minute)) => format!("{minute} {hour} * * *"),
            Self::Weekly((hour, minute), days) => {
                let days: Vec<String> = days.iter().map(u32::to_string).collect();
                format!("{minute} {hour} * * {}", days.join(","))
            }
            Self::Monthly((hour, minute), day) => format!("{minute} {hour} {day} * *"),
            Self::Hours(1) => "0 * * * *".to_owned(),
            Self::Hours(every) => format!("0 */{every} * * *"),
            Self::Custom | Self::Manual => String::new(),
        }
    }
}

/// `1,3,5` or `1-5`.
fn days_of(text: &str) -> Option<Vec<u32>> {
    let mut days = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last > 7 {
            return None;
        }
        days.extend((first..=last).map(|day| day % 7));
    }
    days.sort_unstable();
    days.dedup();
    Some(days)
}

fn hours_of(text: &str) -> Option<u32> {
    match text.strip_prefix("*/") {
        None => (text == "*").then_some(1),
        Some(every) => every
            .parse()
            .ok()
            .filter(|every| *every > 1 && EVERY.contains(every)),
    }
}

/// The expression that a form asks for.
pub fn cron_of(form: &Form) -> Result<String, &'static str> {
    if !form.checked("plan") || form.text("plan") == "custom" {
        return Ok(form.text("schedule_cron").to_owned());
    }
    let (was, asked) = (form.text("schedule_was"), Plan::sent(form)?);
    Ok(if Plan::of(was) == asked {
        was.to_owned()
    } else {
        asked.cron()
    })
}

/// The inputs as they were sent, to be shown again.
pub fn values_sent(form: &Form) -> Vec<(String, String)> {
    let names = INPUTS.iter().filter(|name| form.checked(name));
    names
        .map(|name| ((*name).to_owned(), form.text(name).to_owned()))
        .collect()
}

/// The inputs with their values.
#[derive(Template)]
#[template(path = "config/_plan.html")]
pub struct Builder {
    /// Value, label, chosen.
    kinds: Vec<(&'static str, &'static str, bool)>,
    at: String,
    /// Number, short name, name, chosen.
    days: Vec<(u32, &'static str, &'static str, bool)>,
    month_day: String,
    every: Vec<(u32, String, bool)>,
    /// The expression that the inputs began with.
    was: String,
    cron: Field,
    /// Of the other inputs.
    problem: Option<String>,
}

impl Builder {
    pub fn new(values: &Values, errors: &FieldErrors) -> Self {
        let cron = values.get("schedule_cron");
        let was = match values.get("plan") {
            "" => cron,
            _ => values.get("schedule_was"),
        };
        let plan = Plan::of(was);
        let kind = match values.get("plan") {
            "" => plan.kind(),
            kind => kind,
        };
        let sent = |name: &str, usual: String| match values.get(name) {
            "" => usual,
            sent => sent.to_owned(),
        };
        let (hour, minute) = match &plan {
            Plan::Daily(time) | Plan::Weekly(time, _) | Plan::Monthly(time, _) => *time,
            Plan::Hours(_) | Plan::Custom | Plan::Manual => (2, 0),
        };
        let usual_days = match &plan {
            Plan::Weekly(_, days) => days.clone(),
            _ => vec![0],
        };
        let any_day = values.get("plan") == "weekly";
        let on = |day: u32| {
            if any_day {
                !values.get(&format!("on.{day}")).is_empty()
            } else {
                usual_days.contains(&day)
            }
        };
        let month_day = match plan {
            Plan::Monthly(_, day) => day,
            _ => 1,
        };
        let every = match plan {
            Plan::Hours(every) => every,
            _ => 6,
        };
        let every: u32 = sent("every", every.to_string()).parse().unwrap_or(every);
        let problem = errors.0.get("schedule_cron").cloned();
        let mut field = Field::new("schedule_cron", "Cron expression")
            .value(cron)
            .help("Five fields: minute, hour, day, month, weekday. Or @hourly, @daily, @weekly, @monthly.")
            .placeholder("0 2 * * *");
        let custom = kind == "custom";
        field.error = problem.clone().filter(|_| custom);
        Self {
            kinds: KINDS
                .map(|(name, label)| (name, label, name == kind))
                .into(),
            at: sent("at", format!("{hour:02}:{minute:02}")),
            days: WEEK
                .map(|(day, short, name)| (day, short, name, on(day)))
                .into(),
            month_day: sent("month_day", month_day.to_string()),
            every: EVERY
                .map(|hours| {
                    let label = match hours {
                        1 => "hour".to_owned(),
                        _ => format!("{hours} hours"),
                    };
                    (hours, label, hours == every)
                })
                .into(),
            was: was.to_owned(),
            cron: field,
            problem: problem.filter(|_| !custom),
        }
    }

    pub fn field(&mut self) -> &mut Field {
        &mut self.cron
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(fields: &[(&str, &str)]) -> Form {
        let pairs = fields.iter();
        Form::of(pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    /// What a person who changes nothing sends back.
    fn untouched(cron: &str) -> Form {
        let values = Values::scheduled(cron);
        let shown = Builder::new(&values, &FieldErrors::default());
        let chosen = shown.kinds.iter().find(|(.., chosen)| *chosen);
        let every = shown.every.iter().find(|(.., chosen)| *chosen);
        let (kind, ..) = chosen.expect("one is chosen");
        let every = every.map_or(String::new(), |(hours, ..)| hours.to_string());
        let mut fields = vec![
            ("plan".to_owned(), (*kind).to_owned()),
            ("at".to_owned(), shown.at.clone()),
            ("month_day".to_owned(), shown.month_day.clone()),
            ("every".to_owned(), every),
            ("schedule_was".to_owned(), shown.was.clone()),
            ("schedule_cron".to_owned(), shown.cron.value.clone()),
        ];
        let days = shown.days.iter().filter(|(.., chosen)| *chosen);
        fields.extend(days.map(|(day, ..)| (format!("on.{day}"), "on".to_owned())));
        Form::of(fields)
    }

    #[test]
    fn what_was_not_touched_stays_to_the_letter() {
        for cron in [
            "0 2 * * *",
            "00 02 * * *",
            "30 2 * * 1-5",
            "30 2 * * 1,3,7",
            "5 4 31 * *",
            "0 */6 * * *",
            "0 * * * *",
            "@daily",
            "7 4 1-7 * 1",
            "*/5 * * * *",
            "0 2 * jan *",
            "0 2 1 * 1",
            "",
            "61 2 * * *",
            "nonsense",
            "0 2 0 * *",
            "0 2 * * 5-1",
            "0 */5 * * *",
        ] {
            assert_eq!(cron_of(&untouched(cron)), Ok(cron.to_owned()));
        }
    }

    #[test]
    fn the_inputs_become_an_expression() {
        let made = |fields: &[(&str, &str)]| cron_of(&form(fields));
        let was = ("schedule_was", "0 2 * * *");
        assert_eq!(
            made(&[("plan", "daily"), ("at", "23:05"), was]),
            Ok("5 23 * * *".into())
        );
        assert_eq!(
            made(&[
                ("plan", "weekly"),
                ("at", "02:30:00"),
                ("on.1", "on"),
                ("on.0", "on"),
                was
            ]),
            Ok("30 2 * * 0,1".into())
        );
        assert_eq!(
            made(&[
                ("plan", "monthly"),
                ("at", "02:30"),
                ("month_day", "31"),
                was
            ]),
            Ok("30 2 31 * *".into())
        );
        assert_eq!(
            made(&[("plan", "hours"), ("every", "6"), was]),
            Ok("0 */6 * * *".into())
        );
        assert_eq!(made(&[("plan", "manual"), was]), Ok(String::new()));
        let custom = [("plan", "custom"), ("schedule_cron", "7 4 1-7 * 1"), was];
        assert_eq!(made(&custom), Ok("7 4 1-7 * 1".into()));
        // Without the inputs the expression stands for itself.
        assert_eq!(
            made(&[("schedule_cron", "1 1 * * *")]),
            Ok("1 1 * * *".into())
        );
        for wrong in [
            vec![("plan", "weekly"), ("at", "02:30")],
            vec![("plan", "daily"), ("at", "24:00")],
            vec![("plan", "daily"), ("at", "2:é")],
            vec![("plan", "monthly"), ("at", "02:00"), ("month_day", "32")],
            vec![("plan", "hours"), ("every", "5")],
        ] {
            assert!(made(&wrong).is_err(), "{wrong:?}");
        }
    }
}
