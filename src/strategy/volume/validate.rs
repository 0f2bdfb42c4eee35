//! Judges an archive of files as it passes.

use crate::{
    domain::manifest::Fingerprint,
    strategy::{
        Validator,
        tar::{Reader, Rules},
    },
};

/// Names as they are told to people are not longer.
const SHOWN: usize = 100;

#[derive(Default)]
pub struct Archive {
    reader: Reader,
    rules: Rules,
    fault: Option<String>,
}

impl Validator for Archive {
    fn feed(&mut self, chunk: &[u8]) {
        if self.fault.is_none() {
            self.fault = self.reader.feed(chunk, &mut self.rules).err();
        }
    }

    fn finish(self: Box<Self>) -> Result<Fingerprint, String> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.reader.finish()?;
        fingerprint(&self.rules)
    }
}

/// Files of each path that was archived, by its absolute name.
fn fingerprint(rules: &Rules) -> Result<Fingerprint, String> {
    let mut print = Fingerprint {
        unit: "files".to_owned(),
        ..Fingerprint::default()
    };
    for root in rules.roots() {
        let path = str::from_utf8(&root.path).map_err(|_| {
            let path: String = String::from_utf8_lossy(&root.path)
                .chars()
                .take(SHOWN)
                .collect();
            format!("the path {path} is no text")
        })?;
        print.counts.insert(format!("/{path}"), root.count.files);
    }
    if print.counts.is_empty() {
        return Err("the archive holds nothing at all".to_owned());
    }
    Ok(print)
}
