//! The journal of a restore, read back: its last step holds all that settling needs.

use serde::de::DeserializeOwned;

use super::{Step, StrategyError};

/// What the last step of a journal says, and the step's name; `None` when nothing was recorded.
pub fn last<T: DeserializeOwned>(steps: &[Step]) -> Result<Option<(T, &str)>, StrategyError> {
    let Some(last) = steps.last() else {
        return Ok(None);
    };
    let data = T::deserialize(&last.data).map_err(|error| {
        let message = format!(
            "the restore's step {} is not understood: {error}",
            last.name
        );
        StrategyError::NeedsAttention {
            message,
            hint: "A newer version of Holdfast may have begun it.".to_owned(),
        }
    })?;
    Ok(Some((data, &last.name)))
}
