//! From files to services: files over each other, `extends`, `include`, environment files.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    rc::Rc,
};

use serde_json::{Map, Value};

use super::{
    ComposeError, Composition, environment,
    files::{Files, short},
    service::{Extends, Place, Service, text, texts},
    yaml::{self, Variables},
};

/// How deep `extends` and `include` may lead.
const DEPTH_MAX: usize = 8;
const SERVICES_MAX: usize = 1_000;
/// Notes that are kept; more would not help anybody.
const NOTES_MAX: usize = 20;
/// Variables that a project may require without setting them.
const UNSET_MAX: usize = 64;

pub struct Loader {
    files: Files,
    variables: Variables,
    /// Parsed once: many services extend those of one file.
    parsed: BTreeMap<PathBuf, Rc<Value>>,
    notes: Vec<String>,
}

/// A parsed file and where it lies.
struct Source {
    tree: Rc<Value>,
    /// Its name as it is said back.
    file: String,
    /// What its relative paths start from.
    folder: PathBuf,
    /// Its path, absent for an upload.
    path: Option<PathBuf>,
}

impl Loader {
    pub fn new(files: Files) -> Self {
        Self {
            files,
            variables: Variables::new(),
            parsed: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    /// The files of a project, each over the one before.
    pub fn project(mut self, paths: &[PathBuf]) -> Result<Composition, ComposeError> {
        let folder = self.files.root().map(Path::to_owned).unwrap_or_default();
        if let Ok(text) = self.files.named_by_a_file(&folder.join(".env"), ".env") {
            self.variables = environment::parse(&text, &Variables::new());
        }
        let mut found = Composition::default();
        for path in paths {
            let file = path.display().to_string();
            let text = self.files.named_by_a_person(path)?;
            let source = Source {
                tree: Rc::new(self.parse(&text, &file)?),
                file,
                folder: folder.clone(),
                path: Some(path.clone()),
            };
            self.add(&source, &mut found, 0)?;
        }
        let fallback = || {
            let name = self.variables.get("COMPOSE_PROJECT_NAME").cloned();
            name.or_else(|| folder_name(&folder))
        };
        found.project = found.project.or_else(fallback);
        self.finish(found)
    }

    /// A file that came alone.
    pub fn upload(mut self, text: &str) -> Result<Composition, ComposeError> {
        let file = "the compose file".to_owned();
        let source = Source {
            tree: Rc::new(self.parse(text, &file)?),
            file,
            folder: PathBuf::new(),
            path: None,
        };
        let mut found = Composition::default();
        self.add(&source, &mut found, 0)?;
        self.finish(found)
    }

    /// A required variable that is not set here may be set in the shell that starts the project:
    /// its name stands for it.
    fn parse(&mut self, text: &str, file: &str) -> Result<Value, ComposeError> {
        for _ in 0..UNSET_MAX {
            match yaml::parse(text, &self.variables, file)? {
                yaml::Parsed::Tree(tree) => return Ok(tree),
                yaml::Parsed::Requires(name) => {
                    self.note(format!(
                        "the variable {} is not set in the .env file",
                        short(&name)
                    ));
                    let stand_in = format!("${{{name}}}");
                    self.variables.insert(name, stand_in);
                }
            }
        }
        Err(ComposeError::Form {
            file: file.to_owned(),
            at: String::new(),
            problem: "requires too many variables that are not set",
        })
    }

    fn add(
        &mut self,
        source: &Source,
        found: &mut Composition,
        depth: usize,
    ) -> Result<(), ComposeError> {
        let Value::Object(top) = &*source.tree else {
            return Err(source.wrong("", "it is no compose file"));
        };
        if let Some(name) = top.get("name").and_then(text) {
            found.project = Some(name);
        }
        volumes(top, found);
        let services = match top.get("services") {
            None | Some(Value::Null) => &Map::new(),
            Some(Value::Object(services)) => services,
            Some(_) => return Err(source.wrong("services", "is no mapping")),
        };
        for name in services.keys() {
            let service = self.service(source, name, &mut Vec::new())?;
            let service = match found.services.remove(name) {
                Some(earlier) => service.over(earlier),
                None => service,
            };
            if found.services.len() >= SERVICES_MAX {
                return Err(source.wrong("services", "are too many"));
            }
            found.services.insert(name.clone(), service);
        }
        if let Some(include) = top.get("include") {
            self.include(source, include, found, depth)?;
        }
        Ok(())
    }

    /// A service with all that it extends. `chain` is how it was come to.
    fn service(
        &mut self,
        source: &Source,
        name: &str,
        chain: &mut Vec<(Option<PathBuf>, String)>,
    ) -> Result<Service, ComposeError> {
        let place = Place {
            folder: &source.folder,
            file: &source.file,
            service: name,
        };
        let link = (source.path.clone(), name.to_owned());
        if chain.contains(&link) || chain.len() >= DEPTH_MAX {
            return Err(source.wrong(
                &format!("services.{}.extends", short(name)),
                "leads in a circle or too far",
            ));
        }
        chain.push(link);
        let Some(own) = source.tree.get("services").and_then(|all| all.get(name)) else {
            self.note(format!("{} has no service {}", source.file, short(name)));
            return Ok(Service::default());
        };
        let service = Service::parse(own, place)?;
        let Some(Extends {
            service: base,
            file,
        }) = Extends::parse(own, place)?
        else {
            return Ok(service);
        };
        let earlier = match file {
            None => self.service(source, &base, chain)?,
            Some(file) => match self.open(&source.folder, &file) {
                Ok(other) => self.service(&other, &base, chain)?,
                Err(error @ (ComposeError::Outside(_) | ComposeError::Missing(_))) => {
                    self.note(format!("services.{}.extends: {error}", short(name)));
                    Service::default()
                }
                Err(error) => return Err(error),
            },
        };
        Ok(service.over(earlier))
    }

    fn include(
        &mut self,
        source: &Source,
        include: &Value,
        found: &mut Composition,
        depth: usize,
    ) -> Result<(), ComposeError> {
        let wrong = || source.wrong("include", "is no list of files, or leads too far");
        let entries = match include {
            Value::Null => return Ok(()),
            Value::Array(entries) if depth < DEPTH_MAX => entries,
            _ => return Err(wrong()),
        };
        for entry in entries {
            let (paths, env_files) = match entry {
                Value::Object(fields) => (texts(fields.get("path")), texts(fields.get("env_file"))),
                entry => (texts(Some(entry)), Some(Vec::new())),
            };
            let (paths, env_files) = paths.zip(env_files).ok_or_else(wrong)?;
            let before = self.variables.clone();
            for said in &env_files {
                match self.files.named_by_a_file(&source.folder.join(said), said) {
                    Ok(text) => {
                        for (name, value) in environment::parse(&text, &before) {
                            self.variables.entry(name).or_insert(value);
                        }
                    }
                    Err(error) => self.note(format!("include: {error}")),
                }
            }
            let mut included = Composition::default();
            for said in &paths {
                match self.open(&source.folder, said) {
                    Ok(other) => self.add(&other, &mut included, depth + 1)?,
                    Err(error @ (ComposeError::Outside(_) | ComposeError::Missing(_))) => {
                        self.note(format!("include: {error}"));
                    }
                    Err(error) => return Err(error),
                }
            }
            self.variables = before;
            for (name, service) in included.services {
                found.services.entry(name).or_insert(service);
            }
            for (name, volume) in included.volumes {
                found.volumes.entry(name).or_insert(volume);
            }
        }
        Ok(())
    }

    /// Another compose file, named by one in `folder`.
    fn open(&mut self, folder: &Path, said: &str) -> Result<Source, ComposeError> {
        let path = folder.join(said);
        let file = short(said);
        let tree = match self.parsed.get(&path) {
            Some(tree) => tree.clone(),
            None => {
                let text = self.files.named_by_a_file(&path, said)?;
                let tree = Rc::new(self.parse(&text, &file)?);
                self.parsed.insert(path.clone(), tree.clone());
                tree
            }
        };
        Ok(Source {
            tree,
            file,
            folder: path.parent().map(Path::to_owned).unwrap_or_default(),
            path: Some(path),
        })
    }

    /// Environment files come last: what `environment` says wins, in whichever file it stands.
    fn finish(mut self, mut found: Composition) -> Result<Composition, ComposeError> {
        let mut read: BTreeMap<PathBuf, Rc<Variables>> = BTreeMap::new();
        for (name, service) in &mut found.services {
            // The later of two files wins, and only the first word for a name is taken.
            for file in std::mem::take(&mut service.env_files).into_iter().rev() {
                let variables = match read.get(&file.path) {
                    Some(variables) => variables.clone(),
                    None => match self.files.named_by_a_file(&file.path, &file.said) {
                        Ok(text) => {
                            let parsed = Rc::new(environment::parse(&text, &self.variables));
                            read.insert(file.path, parsed.clone());
                            parsed
                        }
                        Err(ComposeError::TooManyFiles) => return Err(ComposeError::TooManyFiles),
                        Err(ComposeError::Missing(_)) if !file.required => continue,
                        Err(error) => {
                            self.note(format!("services.{}.env_file: {error}", short(name)));
                            continue;
                        }
                    },
                };
                service.set_defaults(variables.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
        }
        found.notes = self.notes;
        Ok(found)
    }

    fn note(&mut self, note: String) {
        if self.notes.len() < NOTES_MAX && !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

impl Source {
    fn wrong(&self, at: &str, problem: &'static str) -> ComposeError {
        ComposeError::Form {
            file: self.file.clone(),
            at: at.to_owned(),
            problem,
        }
    }
}

/// Those that are not called `<project>_<key>`.
fn volumes(top: &Map<String, Value>, found: &mut Composition) {
    let Some(Value::Object(volumes)) = top.get("volumes") else {
        return;
    };
    for (key, volume) in volumes {
        let external = match volume.get("external") {
            Some(Value::Bool(external)) => *external,
            Some(Value::Object(_)) => true,
            _ => false,
        };
        let inner = volume.get("external").and_then(|e| e.get("name"));
        let name = volume.get("name").or(inner).and_then(text);
        if let Some(name) = name.or_else(|| external.then(|| key.clone())) {
            found.volumes.insert(key.clone(), name);
        }
    }
}

/// As compose makes a project's name of its folder.
fn folder_name(folder: &Path) -> Option<String> {
    let name = folder.file_name()?.to_str()?.to_lowercase();
    let plain: String = name
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
        .collect();
    let plain = plain.trim_start_matches(['-', '_']);
    (!plain.is_empty()).then(|| plain.to_owned())
}
