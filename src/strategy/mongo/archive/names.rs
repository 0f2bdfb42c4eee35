//! Which collections of an archive or a server are an app's, which are the server's own, and which
//! are made by Holdfast for a restore.

/// What a restore puts before the names of collections: `hf_stage_7_00c0ffee.`
const OURS: [&str; 3] = ["hf_stage_", "hf_undo_", "hf_undone_"];

/// Whether a collection is one that a restore has made or set aside, or its mark: `hf_undo_`, the
/// number of the restore, eight hex digits, and then nothing or a dot and the collection's name.
pub fn is_ours(collection: &str) -> bool {
    OURS.iter().any(|start| {
        let Some((number, rest)) = collection
            .strip_prefix(start)
            .and_then(|rest| rest.split_once('_'))
        else {
            return false;
        };
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let (tag, rest) = rest.split_at_checked(8).unwrap_or(("", ""));
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        digits
            && tag.len() == 8
            && tag.bytes().all(lower_hex)
            && (rest.is_empty() || rest.starts_with('.'))
    })
}

/// What belongs to the server and not to an app: accounts and settings. A dump of a whole server
/// holds them; a restore leaves those of the server as they are.
pub fn is_the_servers(database: &str, collection: &str) -> bool {
    match database {
        "" | "config" | "local" => true,
        "admin" => collection.starts_with("system."),
        _ => collection.starts_with("$admin.system."),
    }
}

/// Says why a collection cannot be loaded beside the one in use and put in its place.
pub fn unmovable(collection: &str, is_timeseries: bool) -> Option<&'static str> {
    if is_timeseries || collection.starts_with("system.buckets.") {
        Some("is a time series, which MongoDB cannot rename")
    } else if collection.starts_with("system.") {
        Some("is a system collection, which MongoDB cannot rename")
    } else if collection.contains('\n') {
        Some("has a line break in its name, for which mongorestore leaves it out")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_made_by_a_restore_are_ours() {
        for name in [
            "hf_undo_7_00c0ffee.things",
            "hf_undo_7_00c0ffee",
            "hf_stage_12_0123abcd.a.b",
            "hf_undone_1_ffffffff.x",
        ] {
            assert!(is_ours(name), "{name}");
        }
        for name in [
            "hf_undo_things",
            "hf_undo_7_things",
            "hf_undo_7_00C0FFEE.x",
            "hf_undo_x_00c0ffee.x",
            "hf_undo__00c0ffee.x",
            "hf_undo_7_00c0ffeex",
            "hf_undo_7_00c0ffe",
            "hf_undo_7_00c0fféé.x",
            "hf_7_00c0ffee.x",
            "hf_stage_12",
            "",
        ] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
