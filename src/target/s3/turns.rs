//! One put of a key at a time. A store decides by its own lights which of two puts of one name
//! wins, and not every store knows `If-None-Match`; in this process the second waits for the first,
//! and then finds its object. It also tells whose uploads are alive: those under a key in use.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

type Turns = HashMap<String, Arc<AsyncMutex<()>>>;

/// Of the whole process: a target is opened anew by whoever uses it.
static TURNS: LazyLock<Mutex<Turns>> = LazyLock::new(Mutex::default);

pub type Turn = OwnedMutexGuard<()>;

/// Waits until nobody writes `place` (bucket and key); the guard gives the turn back.
pub async fn wait(place: &str) -> Turn {
    of(place).lock_owned().await
}

/// The turn, if nobody writes there.
pub fn free(place: &str) -> Option<Turn> {
    of(place).try_lock_owned().ok()
}

fn of(place: &str) -> Arc<AsyncMutex<()>> {
    let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    turns.retain(|_, turn| Arc::strong_count(turn) > 1);
    turns.entry(place.to_owned()).or_default().clone()
}
