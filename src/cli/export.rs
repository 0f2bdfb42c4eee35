//! `export`: what the server has, as a document that `apply` takes. Applied to the same server it changes
//! nothing.

use reqwest::StatusCode;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};
use serde_saphyr::Commented;

use super::{
    apply::{
        document::{Document, VERSION},
        present::{self, KnownApp},
        secret::MARK,
    },
    client::Refused,
    connect::Connection,
    output::{self, Format},
};

const HEAD: &str = "\
# What this server has; `holdfast apply FILE` brings another to the same, or this one back to it.
# Secrets are not in it: each is named by a variable, to be set where they are wanted anew, or by
# {file: PATH} in its place. Roles of tokens, second factors, runs and the log are not in it either.
";

pub async fn run(to: &Connection, format: Format) -> anyhow::Result<()> {
    let (document, hidden) = document(to).await?;
    let tree = serde_json::to_value(&document)?;
    if format == Format::Json {
        output::json(&bare(tree))?;
    } else {
        let yaml = serde_saphyr::to_string(&Node(&tree))?;
        output::text(format!("{HEAD}{yaml}").trim_end())?;
    }
    for what in hidden {
        output::note(&what);
    }
    Ok(())
}

/// And what could not be put into it.
async fn document(to: &Connection) -> anyhow::Result<(Document, Vec<String>)> {
    let mut hidden = Vec::new();
    let apps = present::apps(&to.client, |_| true).await?;
    for app in apps.iter().filter(|app| app.compose_uploaded) {
        let slug = &app.is.slug;
        hidden.push(format!(
            "{slug} has an uploaded compose file, which is not in the document"
        ));
    }
    let mut admins = |what: &str| {
        hidden.push(format!(
            "{what} are for admins, and are not in the document"
        ));
    };
    let webhooks = match present::webhooks(&to.client).await {
        Ok(webhooks) => Some(webhooks),
        Err(error) if is_forbidden(&error) => {
            admins("webhooks");
            None
        }
        Err(error) => return Err(error),
    };
    let users = match present::users(&to.client, |_| true).await {
        Ok(users) => Some(users),
        Err(error) if is_forbidden(&error) => {
            admins("users");
            None
        }
        Err(error) => return Err(error),
    };
    let document = Document {
        version: Some(VERSION),
        name: None,
        apps: Some(apps.into_iter().map(with_configs).collect()),
        webhooks: webhooks.map(|webhooks| {
            let names: Vec<_> = webhooks.iter().map(|it| it.is.name.clone()).collect();
            let named = webhooks.into_iter().map(|mut it| {
                it.is.id = is_ambiguous(&names, it.is.name.as_ref()).then_some(it.id);
                it.is
            });
            named.collect()
        }),
        users: users.map(|users| users.into_iter().map(|it| it.is).collect()),
    };
    Ok((document, hidden))
}

fn with_configs(app: KnownApp) -> super::apply::document::App {
    let keys: Vec<_> = app.configs.iter().map(|it| it.is.key()).collect();
    let configs = app.configs.into_iter().map(|mut it| {
        it.is.id = is_ambiguous(&keys, it.is.key().as_ref()).then_some(it.id);
        it.is
    });
    let mut is = app.is;
    is.configs = Some(configs.collect());
    is
}

/// Nothing else tells it from another.
fn is_ambiguous(all: &[Option<String>], one: Option<&String>) -> bool {
    let nothing = one.is_none_or(String::is_empty);
    nothing || all.iter().filter(|it| it.as_ref() == one).count() > 1
}

fn is_forbidden(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<Refused>();
    refused.is_some_and(|refused| refused.status == StatusCode::FORBIDDEN)
}

/// Without what is absent, and without words about secrets.
fn bare(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter();
            let fields = fields.filter(|(name, value)| name != MARK && !value.is_null());
            let fields = fields.map(|(name, value)| (name, bare(value)));
            fields.collect::<Map<_, _>>().into()
        }
        Value::Array(values) => values.into_iter().map(bare).collect(),
        plain => plain,
    }
}

/// A value as YAML, with what is to be said about secrets behind them.
struct Node<'a>(&'a Value);

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Array(values) => serializer.collect_seq(values.iter().map(Node)),
            Value::Object(fields) => {
                let said = fields.get(MARK).and_then(Value::as_str);
                let told = fields
                    .iter()
                    .filter(|(name, value)| *name != MARK && !value.is_null());
                let mut map = serializer.serialize_map(None)?;
                for (name, value) in told {
                    match said {
                        Some(said) => {
                            map.serialize_entry(name, &Commented(value, said.to_owned()))?;
                        }
                        None => map.serialize_entry(name, &Node(value))?,
                    }
                }
                map.end()
            }
            plain => plain.serialize(serializer),
        }
    }
}
