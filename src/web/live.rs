//! Live updates: one stream a tab, named events, ids that are positions in the log. When something
//! was committed that a page shows, its fragment is rendered again, whole, and sent; how far a job
//! is goes out up to four times a second beside it. Whoever comes back gets the present state if
//! anything happened since the position it saw.

use askama::Template;
use poem::{
    Response, handler,
    web::{Data, Query, sse::Event},
};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{
    Web,
    errors::WebError,
    feed::{self, Feed, News},
    pages::{self, run::Progress},
    request::Visit,
};
use crate::{
    domain::{
        event::StreamKind,
        ids::{AppId, RestoreId, RunId},
    },
    engine::progress::Snapshot,
    log::Recorded,
};

/// A fragment under the name that the page waits for.
pub struct Part {
    name: &'static str,
    html: String,
}

impl Part {
    pub fn new(name: &'static str, html: String) -> Self {
        Self { name, html }
    }
}

#[derive(Deserialize)]
pub struct Asked {
    run: Option<i64>,
    restore: Option<i64>,
    app: Option<String>,
    /// Position in the log that the page shows.
    #[serde(default)]
    from: i64,
}

/// What a tab looks at.
enum Topic {
    Overview,
    App(AppId, String),
    Run(RunId),
    Restore(RestoreId),
}

#[handler]
pub async fn stream(
    req: &poem::Request,
    visit: Visit,
    Data(web): Data<&Web>,
    Query(asked): Query<Asked>,
) -> Result<Response, WebError> {
    let topic = Topic::of(&visit, &asked).await?;
    let last = req.header("Last-Event-ID").and_then(|id| id.parse().ok());
    let seen = last.unwrap_or(asked.from);
    Ok(feed::stream(&web.stop, |sender| {
        let viewer = Viewer {
            sender,
            topic,
            visit,
        };
        viewer.follow(seen)
    }))
}

impl Topic {
    async fn of(visit: &Visit, asked: &Asked) -> Result<Self, WebError> {
        let (holdfast, caller) = (&visit.holdfast, &visit.caller);
        Ok(match (&asked.app, asked.run, asked.restore) {
            (_, Some(id), _) => Self::Run(holdfast.run(caller, RunId(id)).await?.run_id()),
            (_, _, Some(id)) => {
                Self::Restore(holdfast.restore(caller, RestoreId(id)).await?.restore_id())
            }
            (Some(slug), ..) => {
                let app = holdfast.app(caller, slug).await?;
                Self::App(app.app_id(), app.slug)
            }
            _ => Self::Overview,
        })
    }

    fn concerns(&self, event: &Recorded) -> bool {
        let kind = event.stream.kind;
        match self {
            Self::Overview => !matches!(
                kind,
                StreamKind::User | StreamKind::Audit | StreamKind::Webhook
            ),
            Self::App(app, _) => event.scope.app == Some(*app) && kind != StreamKind::Audit,
            Self::Run(id) => kind == StreamKind::Run && event.stream.id == id.0,
            Self::Restore(id) => kind == StreamKind::Restore && event.stream.id == id.0,
        }
    }

    /// The fragments as of now, and whether nothing more will come.
    async fn render(&self, visit: &Visit) -> Result<(Vec<Part>, bool), WebError> {
        match self {
            Self::Overview => Ok((pages::dashboard::live(visit).await?, false)),
            Self::App(_, slug) => Ok((pages::app_live(visit, slug).await?, false)),
            Self::Run(id) => pages::run::live(visit, *id).await,
            Self::Restore(id) => pages::restore::live(visit, *id).await,
        }
    }

    /// Name of the job whose progress the page shows.
    fn job(&self) -> Option<String> {
        match self {
            Self::Run(id) => Some(format!("run-{id}")),
            Self::Restore(id) => Some(format!("restore-{id}")),
            Self::Overview | Self::App(..) => None,
        }
    }
}

struct Viewer {
    sender: mpsc::Sender<Event>,
    topic: Topic,
    visit: Visit,
}

/// Nobody listens any more, or nothing more will come.
struct Over;

impl Viewer {
    async fn follow(mut self, seen: i64) {
        let job = self.topic.job();
        let mut feed = Feed::new(&self.visit.holdfast, &self.visit.caller, job.as_deref());
        let head = self.visit.holdfast.log().head();
        if head > seen && self.show(head).await.is_err() {
            return;
        }
        while let Some(news) = feed.next().await {
            let result = match news {
                News::Event(event) if !self.topic.concerns(&event) => Ok(()),
                News::Event(event) => match feed.gather(event.position).await {
                    Some(position) => self.show(position).await,
                    None => return,
                },
                News::Progress(snapshot) => self.show_progress(&snapshot).await,
            };
            if result.is_err() {
                return;
            }
        }
    }

    async fn show(&mut self, position: i64) -> Result<(), Over> {
        self.visit.now = self.visit.holdfast.log().now();
        let (parts, over) = match self.topic.render(&self.visit).await {
            Ok(rendered) => rendered,
            Err(error) => {
                // The page keeps what it shows; the browser comes again.
                tracing::warn!(%error, "a live fragment could not be rendered");
                return Err(Over);
            }
        };
        for part in parts {
            self.send(part.name, &part.html, Some(position)).await?;
        }
        if over {
            self.send("over", "", Some(position)).await?;
            return Err(Over);
        }
        Ok(())
    }

    async fn show_progress(&self, snapshot: &Snapshot) -> Result<(), Over> {
        let html = Progress::new(snapshot).render().map_err(|_| Over)?;
        self.send("progress", &html, None).await
    }

    async fn send(&self, name: &str, html: &str, position: Option<i64>) -> Result<(), Over> {
        // An event without data is not delivered.
        let data = if html.is_empty() { " " } else { html };
        let mut event = Event::message(data).event_type(name);
        if let Some(position) = position {
            event = event.id(position.to_string());
        }
        self.sender.send(event).await.map_err(|_| Over)
    }
}
