//! What a form asks for: a strategy and a target describe their own inputs, so that no page has to
//! know one by its name.

/// One input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Stable: the key it is stored and sent under.
    pub name: &'static str,
    pub label: &'static str,
    pub help: &'static str,
    pub required: bool,
    /// Kept in the vault, write-only.
    pub secret: bool,
}

/// What somebody who uses this provider would type, so that they need not look it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// Stable: what a form sends.
    pub name: &'static str,
    pub label: &'static str,
    /// What is left to do. May be empty.
    pub help: &'static str,
    /// Field and value. What is to be replaced stands in `<>`, which no check lets pass.
    pub values: &'static [(&'static str, &'static str)],
}
