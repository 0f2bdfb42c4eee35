//! Pings of a dead man's switch, as healthchecks.io and its like take them: the address itself for a
//! success, `/start` and `/fail` below it. Silence is what it calls people for, so it also notices when
//! the whole server is gone.

use super::{Address, Letter, Post};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ping {
    Start,
    Success,
    Fail,
}

impl Ping {
    const ALL: [Self; 3] = [Self::Start, Self::Success, Self::Fail];

    /// Stored data.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Success => "success",
            Self::Fail => "fail",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ping| ping.name() == name)
    }

    /// `text` is kept by the receiver, for whoever looks.
    pub fn letter(self, address: &Address, text: &str) -> Letter {
        let address = match self {
            Self::Start => address.below("start"),
            Self::Success => address.clone(),
            Self::Fail => address.below("fail"),
        };
        Letter::Post(Post {
            address,
            headers: Vec::new(),
            content_type: "text/plain; charset=utf-8",
            body: text.to_owned(),
        })
    }
}
