//! A cron expression in words. Where no short sentence is exact, the fields are said one by one:
//! a wrong sentence about a backup is worse than a clumsy one.

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// At most so many times of day are listed one by one.
const LISTED: usize = 6;

/// `Daily at 02:00`, `Mon, Wed at 02:00`, `Monthly on day 1 at 02:00`; what cannot be read is
/// shown as it is.
pub fn cron(expression: &str) -> String {
    match expression.trim() {
        "" => "Manual only".to_owned(),
        "@hourly" => "Hourly".to_owned(),
        "@daily" | "@midnight" => "Daily at 00:00".to_owned(),
        "@weekly" => "Sun at 00:00".to_owned(),
        "@monthly" => "Monthly on day 1 at 00:00".to_owned(),
        "@yearly" | "@annually" => "Yearly on 1 Jan at 00:00".to_owned(),
        other => said(other).unwrap_or_else(|| other.to_owned()),
    }
}

fn said(expression: &str) -> Option<String> {
    let fields: Vec<&str> = expression.split_ascii_whitespace().collect();
    let &[minute, hour, day, month, weekday] = fields.as_slice() else {
        return None;
    };
    let time = time_of_day(
        &Field::parse(minute, 0, 59, &[])?,
        &Field::parse(hour, 0, 23, &[])?,
    );
    let days = Field::parse(day, 1, 31, &[])?;
    let months = Field::parse(month, 1, 12, &MONTHS)?;
    let weekdays = Field::parse(weekday, 0, 7, &DAYS)?.of_week();
    Some(match when(&days, &months, &weekdays) {
        When::Daily(None) if time.frequent => capital(&time.words),
        When::Daily(None) => format!("Daily {}", time.words),
        When::Daily(Some(months)) => format!("{} {months}", capital(&time.words)),
        When::Days(days) => format!("{days} {}", time.words),
    })
}

struct Time {
    words: String,
    /// More than a few times a day: said without "daily".
    frequent: bool,
}

fn time_of_day(minute: &Field, hour: &Field) -> Time {
    let frequent = |words: String| Time {
        words,
        frequent: true,
    };
    match (minute.every(60), hour.every(24)) {
        (Some(1), Some(1)) => frequent("every minute".to_owned()),
        (Some(n), Some(1)) => frequent(format!("every {n} minutes")),
        (Some(1), _) => frequent(format!("every minute of {}", hours(hour))),
        (Some(n), _) => frequent(format!("every {n} minutes of {}", hours(hour))),
        (None, Some(1)) if minute.values == [0] => frequent("hourly".to_owned()),
        (None, Some(1)) => frequent(format!("hourly at {}", minutes(minute))),
        (None, Some(n)) if minute.values == [0] => frequent(format!("every {n} hours")),
        (None, Some(n)) if minute.values.len() == 1 => {
            frequent(format!("every {n} hours at {}", minutes(minute)))
        }
        _ if minute.values.len() * hour.values.len() <= LISTED => {
            let times: Vec<String> = hour
                .values
                .iter()
                .flat_map(|h| minute.values.iter().map(move |m| format!("{h:02}:{m:02}")))
                .collect();
            Time {
                words: format!("at {}", list(&times)),
                frequent: false,
            }
        }
        _ => frequent(format!("at {} of {}", minutes(minute), hours(hour))),
    }
}

fn minutes(field: &Field) -> String {
    let numbers: Vec<String> = field.values.iter().map(u32::to_string).collect();
    let s = if numbers.len() == 1 { "" } else { "s" };
    format!("minute{s} {}", list(&numbers))
}

fn hours(field: &Field) -> String {
    let s = if field.values.len() == 1 { "" } else { "s" };
    format!("hour{s} {}", list(&runs(&field.values, u32::to_string)))
}

enum When {
    /// Every day, of these months only when some are named.
    Daily(Option<String>),
    Days(String),
}

fn when(days: &Field, months: &Field, weekdays: &Field) -> When {
    let in_months = (!months.all).then(|| {
        let names = runs(&months.values, |m| MONTHS[*m as usize - 1].to_owned());
        format!("in {}", list(&names))
    });
    let weekday_names = || {
        comma(&runs(&weekdays.values, |d| {
            DAYS[*d as usize % 7].to_owned()
        }))
    };
    let day_numbers = || {
        let s = if days.values.len() == 1 { "" } else { "s" };
        format!("day{s} {}", comma(&runs(&days.values, u32::to_string)))
    };
    let words = match (days.all, weekdays.all) {
        (true, true) => return When::Daily(in_months),
        (true, false) => weekday_names(),
        (false, true) => match (days.values.as_slice(), months.values.as_slice()) {
            ([day], [month]) => {
                return When::Days(format!("Yearly on {day} {}", MONTHS[*month as usize - 1]));
            }
            _ => format!("Monthly on {}", day_numbers()),
        },
        // Both restricted: cron joins them by "or".
        (false, false) if days.starred || weekdays.starred => {
            format!("On {} when it is {}", day_numbers(), weekday_names())
        }
        (false, false) => format!("Monthly on {} and every {}", day_numbers(), weekday_names()),
    };
    When::Days(match in_months {
        Some(months) => format!("{words} {months}"),
        None => words,
    })
}

struct Field {
    values: Vec<u32>,
    all: bool,
    /// Begins with `*`: decides how cron joins the two day fields.
    starred: bool,
}

impl Field {
    fn parse(text: &str, low: u32, high: u32, names: &[&str]) -> Option<Self> {
        let value = |text: &str| {
            let named = names
                .iter()
                .zip(low..)
                .find(|(n, _)| n.eq_ignore_ascii_case(text));
            named
                .map(|(_, value)| value)
                .or_else(|| text.parse().ok())
                .filter(|value| (low..=high).contains(value))
        };
        let mut values = Vec::new();
        for item in text.split(',') {
            let (range, step) = match item.split_once('/') {
                Some((range, step)) => (range, step.parse::<usize>().ok().filter(|s| *s > 0)?),
                None => (item, 1),
            };
            let (first, last) = match range.split_once('-') {
                _ if range == "*" => (low, high),
                Some((first, last)) => (value(first)?, value(last)?),
                None => (value(range)?, value(range)?),
            };
            values.extend((first..=last).step_by(step));
        }
        values.sort_unstable();
        values.dedup();
        if values.is_empty() {
            return None;
        }
        Some(Self {
            all: values.len() == (high - low + 1) as usize,
            values,
            starred: text.starts_with('*'),
        })
    }

    /// Sunday is 0 and 7 alike; said last, as people do.
    fn of_week(mut self) -> Self {
        for value in &mut self.values {
            *value = if *value == 0 { 7 } else { *value };
        }
        self.values.sort_unstable();
        self.values.dedup();
        self.all = self.values.len() == 7;
        self
    }

    /// The step, when the values are evenly spaced round the whole circle from 0 on.
    fn every(&self, circle: u32) -> Option<u32> {
        let count = u32::try_from(self.values.len()).ok().filter(|n| *n > 1)?;
        let step = circle / count;
        let even = circle.is_multiple_of(count)
            && self
                .values
                .iter()
                .zip(0..)
                .all(|(value, i)| *value == i * step);
        even.then_some(step)
    }
}

/// Single values, and runs of three or more as `first–last`.
fn runs(values: &[u32], name: impl Fn(&u32) -> String) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = values;
    while let Some(first) = rest.first() {
        let length = rest
            .iter()
            .zip(*first..)
            .take_while(|(value, i)| *value == i)
            .count();
        let (run, tail) = rest.split_at(length);
        match run {
            [first, .., last] if run.len() > 2 => {
                words.push(format!("{}–{}", name(first), name(last)));
            }
            _ => words.extend(run.iter().map(&name)),
        }
        rest = tail;
    }
    words
}

fn comma(words: &[String]) -> String {
    words.join(", ")
}

fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", comma(first)),
    }
}

fn capital(words: &str) -> String {
    let mut chars = words.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::cron;

    #[test]
    fn as_people_say_it() {
        for (expression, expected) in [
            ("", "Manual only"),
            ("0 2 * * *", "Daily at 02:00"),
            ("0 2,14 * * *", "Daily at 02:00 and 14:00"),
            ("30 4,12,20 * * *", "Daily at 04:30, 12:30 and 20:30"),
            ("0 2 * * 1,3", "Mon, Wed at 02:00"),
            ("0 2 * * mon,WED", "Mon, Wed at 02:00"),
            ("0 2 * * 1-5", "Mon–Fri at 02:00"),
            ("0 2 * * 0", "Sun at 02:00"),
            ("0 2 * * 7", "Sun at 02:00"),
            ("0 2 * * 0,6", "Sat, Sun at 02:00"),
            ("0 2 1 * *", "Monthly on day 1 at 02:00"),
            ("0 2 1,15 * *", "Monthly on days 1, 15 at 02:00"),
            ("0 2 1 1,7 *", "Monthly on day 1 in Jan and Jul at 02:00"),
            ("0 0 24 12 *", "Yearly on 24 Dec at 00:00"),
            (
                "30 4 1,15 * 5",
                "Monthly on days 1, 15 and every Fri at 04:30",
            ),
            ("* * * * *", "Every minute"),
            ("*/15 * * * *", "Every 15 minutes"),
            ("0,30 * * * *", "Every 30 minutes"),
            ("0 * * * *", "Hourly"),
            ("5 * * * *", "Hourly at minute 5"),
            ("0 */6 * * *", "Every 6 hours"),
            ("20 */6 * * *", "Every 6 hours at minute 20"),
            ("0 */9 * * *", "Daily at 00:00, 09:00 and 18:00"),
            (
                "*/15 8-18 * * 1-5",
                "Mon–Fri every 15 minutes of hours 8–18",
            ),
            (
                "*/7 * * * *",
                "Hourly at minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56",
            ),
            ("0 2 * 6-8 *", "At 02:00 in Jun–Aug"),
            (
                "0 2 */2 * 1",
                "On days 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31 when it is Mon at 02:00",
            ),
            ("@weekly", "Sun at 00:00"),
            ("@hourly", "Hourly"),
        ] {
            assert_eq!(cron(expression), expected, "{expression}");
        }
    }

    #[test]
    fn what_it_cannot_read_is_shown_as_it_is() {
        for expression in [
            "hello",
            "61 * * * *",
            "0 0 12 * * *",
            "*/0 * * * *",
            "5-1 * * * *x",
        ] {
            assert_eq!(cron(expression), expression);
        }
    }
}
