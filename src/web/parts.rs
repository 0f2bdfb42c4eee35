//! The small pieces that every page is made of, as values that write their own HTML: an icon, a
//! status badge, a moment. Templates print them; what comes from outside is escaped here.

use std::fmt;

use askama::filters::HtmlSafe;

use super::{assets, words::Moment};

/// One symbol of the sprite. Names come from our own code alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Icon(&'static str, &'static str);

pub fn icon(name: &'static str) -> Icon {
    Icon(name, "")
}

/// In the colour of a tone: `ok`, `bad`, `warn`, `run`.
pub fn toned(name: &'static str, tone: &'static str) -> Icon {
    Icon(name, tone)
}

impl fmt::Display for Icon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name, tone) = self;
        f.write_str(r#"<svg class="icon"#)?;
        if !tone.is_empty() {
            write!(f, " text-{tone}")?;
        }
        if *name == "progress" {
            f.write_str(" spin")?;
        }
        write!(
            f,
            r#"" aria-hidden="true"><use href="{}#{name}"/></svg>"#,
            assets::path("icons.svg")
        )
    }
}

impl HtmlSafe for Icon {}

/// Whether something at work can be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// It is over, or too far.
    No,
    Offered,
    /// Asked for already; it takes effect at the next chunk.
    Requested,
}

impl Cancel {
    pub fn new(possible: bool, requested: bool) -> Self {
        match (possible, requested) {
            (false, _) => Self::No,
            (true, false) => Self::Offered,
            (true, true) => Self::Requested,
        }
    }

    pub fn is_offered(self) -> bool {
        self == Self::Offered
    }

    pub fn is_requested(self) -> bool {
        self == Self::Requested
    }
}

/// A state as word, icon and colour, so that none of them is needed alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Badge {
    pub tone: &'static str,
    pub icon: &'static str,
    pub word: &'static str,
}

impl Badge {
    pub const fn new(tone: &'static str, icon: &'static str, word: &'static str) -> Self {
        Self { tone, icon, word }
    }

    /// Of a run or restore, by the name of its status.
    pub fn of_status(status: &str, warned: bool) -> Self {
        match status {
            "success" if warned => Self::new("warn", "warn", "warnings"),
            "success" => Self::new("ok", "check", "success"),
            "failed" => Self::new("bad", "cross", "failed"),
            "damaged" => Self::new("bad", "warn", "damaged"),
            "missing" => Self::new("bad", "warn", "missing"),
            "running" => Self::new("run", "progress", "running"),
            "queued" => Self::new("run", "clock", "queued"),
            "undoing" => Self::new("run", "progress", "undoing"),
            "undone" => Self::new("idle", "undo", "undone"),
            "needs_attention" => Self::new("bad", "warn", "needs attention"),
            "cancelled" => Self::new("idle", "stop", "cancelled"),
            _ => Self::new("idle", "dots", "unknown"),
        }
    }
}

impl fmt::Display for Badge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tone, icon, word } = self;
        write!(
            f,
            r#"<span class="badge {tone}">{}{word}</span>"#,
            self::icon(icon)
        )
    }
}

impl HtmlSafe for Badge {}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            r#"<time data-age datetime="{}" title="{}">{}</time>"#,
            self.iso, self.exact, self.words
        )
    }
}

impl HtmlSafe for Moment {}
