//! What a run does, as it does it: the events of its stream and, between them, how far it is.

use poem::{Response, http::StatusCode, web::sse::Event};
use poem_openapi::types::ToJSON;
use tokio::sync::mpsc::Sender;

use super::output::{Progress, Run};
use crate::{
    app::AppError,
    domain::{event::StreamKind, ids::RunId},
    log::{Recorded, StreamId},
    web::{
        Web,
        api::{activity::Entry, answer::Events, error::ApiError, visit::Visit},
        feed::{self, Feed, News},
    },
};

/// `last`: position of the last entry that whoever asks has. Without `follow` it ends with what there is.
pub async fn answer(
    visit: Visit,
    web: &Web,
    id: RunId,
    last: Option<i64>,
    follow: bool,
) -> Result<Events, ApiError> {
    let log = RunLog {
        id: visit.holdfast.run(&visit.caller, id).await?.run_id(),
        visit,
        seen: last.unwrap_or(0),
    };
    // To a client that comes back by itself this is the sign to stay away.
    if last.is_some() && log.is_over_and_seen().await? {
        let nothing = Response::builder().status(StatusCode::NO_CONTENT);
        return Ok(Events(nothing.finish()));
    }
    Ok(Events(feed::stream(&web.stop, |sender| async move {
        match log.write(&sender, follow).await {
            Ok(()) | Err(Broken::Left) => {}
            Err(Broken::Unread(error)) => {
                tracing::warn!(run = id.0, %error, "the log of a run broke off");
            }
        }
    })))
}

struct RunLog {
    visit: Visit,
    id: RunId,
    /// Position of the last entry that was sent.
    seen: i64,
}

enum Broken {
    /// Nobody listens any more.
    Left,
    Unread(AppError),
}

impl From<AppError> for Broken {
    fn from(error: AppError) -> Self {
        Self::Unread(error)
    }
}

impl RunLog {
    async fn write(mut self, sender: &Sender<Event>, follow: bool) -> Result<(), Broken> {
        let (holdfast, caller) = (self.visit.holdfast.clone(), self.visit.caller.clone());
        let job = format!("run-{}", self.id);
        let mut feed = Feed::new(&holdfast, &caller, Some(&job));
        loop {
            // The run first: when it is over, its last event is among those that are read after it.
            let run = holdfast.run(&caller, self.id).await?;
            let unseen = self.unseen().await?;
            let anything_new = !unseen.is_empty();
            for event in unseen {
                self.seen = event.position;
                let entry = Entry::from(event);
                send(sender, "entry", Some(self.seen), entry.to_json_string()).await?;
            }
            if run.is_over() {
                let run = Run::from(run).to_json_string();
                return send(sender, "end", Some(self.seen), run).await;
            }
            if !follow {
                return Ok(());
            }
            // One of these may have ended it since, and the feed has nothing new to say of that.
            if anything_new {
                continue;
            }
            loop {
                match feed.next().await {
                    Some(News::Event(event)) if !self.is_new(&event) => {}
                    Some(News::Event(_)) => break,
                    Some(News::Progress(snapshot)) => {
                        let progress = Progress::from(snapshot).to_json_string();
                        send(sender, "progress", None, progress).await?;
                    }
                    None => return Ok(()),
                }
            }
        }
    }

    async fn is_over_and_seen(&self) -> Result<bool, AppError> {
        let run = self.visit.holdfast.run(&self.visit.caller, self.id).await?;
        Ok(run.is_over() && self.unseen().await?.is_empty())
    }

    async fn unseen(&self) -> Result<Vec<Recorded>, AppError> {
        let mut events = self.visit.holdfast.history(self.stream()).await?;
        events.retain(|event| event.position > self.seen);
        Ok(events)
    }

    fn is_new(&self, event: &Recorded) -> bool {
        event.stream == self.stream() && event.position > self.seen
    }

    fn stream(&self) -> StreamId {
        StreamId {
            kind: StreamKind::Run,
            id: self.id.0,
        }
    }
}

async fn send(
    sender: &Sender<Event>,
    name: &str,
    position: Option<i64>,
    data: String,
) -> Result<(), Broken> {
    let mut event = Event::message(data).event_type(name);
    if let Some(position) = position {
        event = event.id(position.to_string());
    }
    sender.send(event).await.map_err(|_| Broken::Left)
}
