//! What ran lately, of all apps, with filters.

use askama::Template;
use chrono::{DateTime, Utc};

use crate::{
    app::AppError,
    readmodel::{apps, configs, runs},
    web::{errors::WebError, parts, request::Visit, rows::RunRow},
};

const ROWS: u64 = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    All,
    Success,
    Failed,
    Running,
}

impl Filter {
    pub const ALL: [Self; 4] = [Self::All, Self::Success, Self::Failed, Self::Running];

    pub fn parse(name: &str) -> Self {
        let mut known = Self::ALL.into_iter();
        known
            .find(|filter| filter.name() == name)
            .unwrap_or(Self::All)
    }

    /// As in the address; empty for all.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Running => "running",
        }
    }

    /// Those of rows; none for all.
    fn statuses(self) -> Vec<String> {
        match self {
            Self::All => vec![],
            other => runs::answered_as(other.name()),
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::Success => "Success",
            Self::Failed => "Failed",
            Self::Running => "Running",
        }
    }

    pub fn path(self) -> String {
        match self {
            Self::All => "/".to_owned(),
            other => format!("/?status={}", other.name()),
        }
    }
}

#[derive(Template)]
#[template(path = "dashboard/_recent.html")]
pub struct Recent {
    filter: Filter,
    rows: Vec<RunRow>,
}

impl Recent {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates hand over references"
    )]
    fn is_current(&self, filter: &Filter) -> bool {
        self.filter == *filter
    }

    pub async fn load(visit: &Visit, filter: Filter) -> Result<Self, WebError> {
        let wanted = runs::Filter {
            statuses: filter.statuses(),
            limit: ROWS,
            ..runs::Filter::default()
        };
        let found = visit.holdfast.runs(&visit.caller, &wanted).await?;
        let apps = visit.holdfast.apps(&visit.caller).await?;
        let configs = configs::list(visit.holdfast.log().db())
            .await
            .map_err(AppError::from)?;
        Ok(Self::new(filter, &found, &apps, &configs, visit.now))
    }

    pub fn new(
        filter: Filter,
        found: &[runs::Model],
        apps: &[apps::Model],
        configs: &[configs::Model],
        now: DateTime<Utc>,
    ) -> Self {
        let row = |run| RunRow::new(run, apps, configs, now);
        Self {
            filter,
            rows: found.iter().map(row).collect(),
        }
    }
}
