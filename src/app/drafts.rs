//! Forms that are filled in over several pages, until what they ask for is made or an hour is over. They
//! are kept in memory and nowhere else: a draft may hold a password that nothing needs yet, and is no fact
//! that would have to survive a restart.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::OwnedMutexGuard;

use super::{AppError, Caller, Holdfast, Result, auth};
use crate::domain::{event::Actor, ids::AppId, secret::Secret};

/// Without a touch.
const KEPT: Duration = Duration::from_secs(60 * 60);
/// The oldest of a person's goes when there is one more.
const EACH: usize = 8;
const ALL: usize = 256;
/// Of names and values together.
const BYTES: usize = 64 * 1024;

/// Name of an input → what stands in it, secrets among them.
pub type Fields = BTreeMap<String, String>;

#[derive(Default)]
pub(super) struct Drafts(Mutex<HashMap<String, Draft>>);

struct Draft {
    owner: Owner,
    app: AppId,
    state: State,
    touched: Instant,
    /// Held while what it asks for is made, so that a double click makes one.
    turn: Arc<tokio::sync::Mutex<()>>,
}

type Owner = (Option<i64>, String);

enum State {
    Open(Secret<Fields>),
    /// Made: where to see it.
    Done(String),
}

/// What is known of a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Open(Secret<Fields>),
    Done(String),
}

impl Holdfast {
    /// `None` when there is none of that name, or it is somebody else's, of another app or too old.
    pub fn draft(&self, caller: &Caller, app: AppId, id: &str) -> Option<Found> {
        self.0.drafts.find(&owner(&caller.actor), app, id)
    }

    /// Keeps the fields under `id` when that is an open draft of the caller, else under a new id. Answers
    /// the id.
    pub fn keep_draft(
        &self,
        caller: &Caller,
        app: AppId,
        id: &str,
        fields: Fields,
    ) -> Result<String> {
        self.0.drafts.keep(owner(&caller.actor), app, id, fields)
    }

    /// Waits until nobody else makes what this draft asks for.
    pub async fn draft_turn(&self, id: &str) -> Option<OwnedMutexGuard<()>> {
        let turn = self.0.drafts.turn(id)?;
        Some(turn.lock_owned().await)
    }

    /// What it asked for is made, and is seen under `path`; the fields are forgotten.
    pub fn close_draft(&self, id: &str, path: &str) {
        self.0.drafts.close(id, path);
    }
}

fn owner(actor: &Actor) -> Owner {
    (actor.id, actor.name.clone())
}

impl Drafts {
    fn find(&self, owner: &Owner, app: AppId, id: &str) -> Option<Found> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, draft| draft.touched.elapsed() < KEPT);
        let draft = all.get_mut(id)?;
        if draft.owner != *owner || draft.app != app {
            return None;
        }
        draft.touched = Instant::now();
        Some(match &draft.state {
            State::Open(fields) => Found::Open(fields.clone()),
            State::Done(path) => Found::Done(path.clone()),
        })
    }

    fn keep(&self, owner: Owner, app: AppId, id: &str, fields: Fields) -> Result<String> {
        let size: usize = fields
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if size > BYTES {
            let problem = "what was entered is too long to be kept; use shorter values";
            return Err(AppError::Conflict(problem.into()));
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, draft| draft.touched.elapsed() < KEPT);
        if let Some(draft) = all.get_mut(id)
            && draft.owner == owner
            && draft.app == app
            && matches!(draft.state, State::Open(_))
        {
            draft.state = State::Open(Secret::new(fields));
            draft.touched = Instant::now();
            return Ok(id.to_owned());
        }
        let mine = all.values().filter(|draft| draft.owner == owner).count();
        if mine >= EACH || all.len() >= ALL {
            let going = all
                .iter()
                .filter(|(_, draft)| mine < EACH || draft.owner == owner)
                .min_by_key(|(_, draft)| draft.touched);
            if let Some(id) = going.map(|(id, _)| id.clone()) {
                all.remove(&id);
            }
        }
        let id = hex::encode(auth::random_bytes::<16>());
        let draft = Draft {
            owner,
            app,
            state: State::Open(Secret::new(fields)),
            touched: Instant::now(),
            turn: Arc::default(),
        };
        all.insert(id.clone(), draft);
        Ok(id)
    }

    fn turn(&self, id: &str) -> Option<Arc<tokio::sync::Mutex<()>>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(id).map(|draft| draft.turn.clone())
    }

    fn close(&self, id: &str, path: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(draft) = all.get_mut(id) {
            draft.state = State::Done(path.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: AppId = AppId(1);

    fn fields(text: &str) -> Fields {
        BTreeMap::from([("name".to_owned(), text.to_owned())])
    }

    fn ada() -> Owner {
        (Some(1), "ada".to_owned())
    }

    #[test]
    fn a_draft_is_its_owners_alone_and_of_one_app() {
        let drafts = Drafts::default();
        let id = drafts.keep(ada(), SHOP, "", fields("one")).unwrap();
        let open = Some(Found::Open(Secret::new(fields("one"))));
        assert_eq!(drafts.find(&ada(), SHOP, &id), open);
        assert_eq!(drafts.find(&(Some(2), "eve".into()), SHOP, &id), None);
        assert_eq!(drafts.find(&ada(), AppId(2), &id), None);
        assert_eq!(drafts.find(&ada(), SHOP, "none"), None);
        // Somebody else's id makes a draft of one's own, and does not touch the other.
        let eves = drafts.keep((Some(2), "eve".into()), SHOP, &id, fields("two"));
        assert_ne!(eves.unwrap(), id);
        assert_eq!(drafts.find(&ada(), SHOP, &id), open);
        drafts.close(&id, "/apps/shop");
        let done = Some(Found::Done("/apps/shop".into()));
        assert_eq!(drafts.find(&ada(), SHOP, &id), done);
    }

    #[test]
    fn there_are_only_so_many_and_none_is_big() {
        let drafts = Drafts::default();
        let first = drafts.keep(ada(), SHOP, "", fields("first")).unwrap();
        for _ in 0..EACH {
            drafts.keep(ada(), SHOP, "", fields("more")).unwrap();
        }
        assert_eq!(drafts.find(&ada(), SHOP, &first), None);
        for user in 0..400 {
            let owner = (Some(user), String::new());
            drafts.keep(owner, SHOP, "", fields("each")).unwrap();
        }
        assert!(drafts.0.lock().unwrap().len() <= ALL);
        let long = "x".repeat(BYTES);
        assert!(drafts.keep(ada(), SHOP, "", fields(&long)).is_err());
    }
}
