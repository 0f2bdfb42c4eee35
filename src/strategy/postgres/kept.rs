//! What a restore set aside, as it is remembered for the undo.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::strategy::{Kept, StrategyError};

/// A database that was set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aside {
    pub restore: i64,
    pub database: String,
    pub name: String,
    pub id: u32,
}

/// What `Kept::data` holds. One database is written as it was before there could be several.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Data {
    One(Aside),
    Several { databases: Vec<Aside> },
}

/// `None` when nothing was there before.
pub fn keep(asides: Vec<Aside>, size: Option<u64>) -> Option<Kept> {
    let names = |name: fn(&Aside) -> &str| asides.iter().map(name).collect::<Vec<_>>().join(", ");
    let title = match &asides[..] {
        [] => return None,
        [one] => format!(
            "database {} as it was before, now {}",
            one.database, one.name
        ),
        several => format!(
            "{} databases as they were before ({}), now {}",
            several.len(),
            names(|aside| &aside.database),
            names(|aside| &aside.name)
        ),
    };
    let data = match <[Aside; 1]>::try_from(asides) {
        Ok([one]) => Data::One(one),
        Err(databases) => Data::Several { databases },
    };
    Some(Kept {
        title,
        size,
        data: json!(data),
    })
}

/// The databases that were set aside: one at least.
pub fn asides(kept: &Kept) -> Result<Vec<Aside>, StrategyError> {
    let refused = |why: String| {
        let message = format!("what was kept for the undo is not understood: {why}");
        StrategyError::refused(message, "")
    };
    match Data::deserialize(&kept.data).map_err(|error| refused(error.to_string()))? {
        Data::One(aside) => Ok(vec![aside]),
        Data::Several { databases } if !databases.is_empty() => Ok(databases),
        Data::Several { .. } => Err(refused("it names no database".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aside(id: u32) -> Aside {
        Aside {
            restore: 7,
            database: format!("d{id}"),
            name: format!("hf_undo_7_{id}"),
            id,
        }
    }

    #[test]
    fn one_database_is_kept_as_it_always_was() {
        let kept = keep(vec![aside(5)], Some(1)).unwrap();
        let data = json!({"restore": 7, "database": "d5", "name": "hf_undo_7_5", "id": 5});
        assert_eq!(kept.data, data);
        assert_eq!(asides(&kept).unwrap(), [aside(5)]);
    }

    #[test]
    fn several_come_back_as_they_were() {
        let kept = keep(vec![aside(5), aside(6)], None).unwrap();
        assert!(kept.title.contains("d5, d6"), "{}", kept.title);
        assert_eq!(asides(&kept).unwrap(), [aside(5), aside(6)]);
        assert_eq!(keep(Vec::new(), None), None);
        for data in [json!({"databases": []}), json!({}), json!(1)] {
            let kept = Kept {
                data,
                ..kept.clone()
            };
            asides(&kept).unwrap_err();
        }
    }
}
