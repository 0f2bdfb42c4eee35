//! What streams to a viewer are fed by: events as they are committed, and how far a job is. What is made of
//! them, fragments of a page or lines of a log, is for the stream to say. Nothing is kept for a viewer:
//! whoever comes back says the last position they saw.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::BoxStream};
use poem::{
    IntoResponse, Response,
    web::sse::{Event, SSE},
};
use tokio::{
    sync::{broadcast, mpsc},
    time::{Instant, sleep, timeout_at},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{Caller, Holdfast},
    domain::{
        audit::AuditEvent,
        event::{Event as Happened, StreamKind},
        ids::UserId,
    },
    engine::progress::Snapshot,
    log::Recorded,
};

const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events that come close together are shown together.
const GATHER: Duration = Duration::from_millis(120);
/// Then the viewer comes again and is looked at anew.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// Listens from when it is made. Whoever looks at the log after that gets twice, rather than never, what is
/// committed in between.
pub struct Feed {
    committed: broadcast::Receiver<Arc<Recorded>>,
    progress: BoxStream<'static, Option<Snapshot>>,
    caller: Caller,
}

pub enum News {
    /// Committed, and the viewer may see it.
    Event(Arc<Recorded>),
    Progress(Snapshot),
}

impl Feed {
    /// `job`: name of the job whose progress is shown.
    pub fn new(holdfast: &Holdfast, caller: &Caller, job: Option<&str>) -> Self {
        Self {
            committed: holdfast.log().live(),
            progress: match job {
                Some(job) => holdfast.progress().watch(job).boxed(),
                None => futures_util::stream::pending().boxed(),
            },
            caller: caller.clone(),
        }
    }

    /// `None`: the viewer's rights may have changed, or their session is over; perhaps by what was missed,
    /// because more was committed than was listened to. They come again and are looked at anew.
    pub async fn next(&mut self) -> Option<News> {
        loop {
            tokio::select! {
                event = self.committed.recv() => match event {
                    Ok(event) if self.is_about_the_viewer(&event) => return None,
                    Ok(event) if self.caller.sees_scope(&event.scope) => {
                        return Some(News::Event(event));
                    }
                    Ok(_) => {}
                    Err(_) => return None,
                },
                snapshot = self.progress.next() => if let Some(snapshot) = snapshot.flatten() {
                    return Some(News::Progress(snapshot));
                },
            }
        }
    }

    /// Takes what follows closely; answers the newest position, or `None` as `next` does.
    pub async fn gather(&mut self, first: i64) -> Option<i64> {
        let until = Instant::now() + GATHER;
        let mut newest = first;
        while let Ok(event) = timeout_at(until, self.committed.recv()).await {
            let event = event.ok().filter(|it| !self.is_about_the_viewer(it))?;
            newest = event.position;
        }
        Some(newest)
    }

    fn is_about_the_viewer(&self, event: &Recorded) -> bool {
        let whose = match &event.event {
            Happened::Audit(AuditEvent::LoggedOut { user } | AuditEvent::SessionEnded { user }) => {
                *user
            }
            _ if event.stream.kind == StreamKind::User => UserId(event.stream.id),
            _ => return false,
        };
        self.caller.user == Some(whose)
    }
}

/// Sends what `write` says, until that ends, the viewer leaves, or the server stops.
pub fn stream<W, F>(stop: &CancellationToken, write: W) -> Response
where
    W: FnOnce(mpsc::Sender<Event>) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, events) = mpsc::channel(8);
    let writing = write(sender.clone());
    let stop = stop.clone().cancelled_owned();
    tokio::spawn(async move {
        tokio::select! {
            () = writing => {}
            () = sender.closed() => {}
            () = stop => {}
            () = sleep(LONGEST) => {}
        }
    });
    SSE::new(ReceiverStream::new(events))
        .keep_alive(HEARTBEAT)
        .into_response()
}
