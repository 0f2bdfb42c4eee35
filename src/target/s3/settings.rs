//! The settings of a bucket, from texts that anybody may have typed to what the client is built
//! from. Every problem is told at once, by the name of its field.

use std::net::IpAddr;

use super::{super::Key, address};
use crate::{
    domain::{failure::FieldErrors, form::Field, secret::Secret},
    target::{Place, Settings},
};

pub const FIELDS: &[Field] = &[
    Field {
        name: "endpoint",
        label: "Endpoint",
        help: "URL of the store, as https://s3.example.com. Empty: Amazon S3.",
        required: false,
        secret: false,
    },
    Field {
        name: "bucket",
        label: "Bucket",
        help: "It has to exist. One Holdfast a bucket, or a prefix of its own for each.",
        required: true,
        secret: false,
    },
    Field {
        name: "prefix",
        label: "Prefix",
        help: "Folder in the bucket under which everything is kept. May be empty.",
        required: false,
        secret: false,
    },
    Field {
        name: "access_key",
        label: "Access key",
        help: "Id of a key that may read, write, list and delete there.",
        required: true,
        secret: false,
    },
    Field {
        name: "secret_key",
        label: "Secret key",
        help: "Kept encrypted, never shown again.",
        required: true,
        secret: true,
    },
    Field {
        name: "region",
        label: "Region",
        help: "us-east-1 when empty.",
        required: false,
        secret: false,
    },
    Field {
        name: "addressing",
        label: "Addressing",
        help: "path: bucket in the path; virtual: bucket in the host name. Empty: path with an endpoint, virtual at Amazon.",
        required: false,
        secret: false,
    },
];

const DEFAULT_REGION: &str = "us-east-1";

/// A store and a bucket in it, as checked.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// `None` is Amazon S3.
    pub endpoint: Option<String>,
    pub name: String,
    /// Empty, or segments that end with a slash.
    pub prefix: String,
    pub access_key: String,
    pub secret_key: Secret,
    pub region: String,
    pub path_style: bool,
}

impl Bucket {
    pub fn parse(settings: &Settings) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        for name in settings.plain.keys().chain(settings.secrets.keys()) {
            if !FIELDS.iter().any(|field| field.name == name) {
                errors.add(name.as_str(), "an S3 target has no such setting");
            }
        }
        let text = |name: &str| settings.plain.get(name).map_or("", |value| value.trim());
        let endpoint = text("endpoint").trim_end_matches('/');
        if let Err(problem) = endpoint_host(endpoint) {
            errors.add("endpoint", problem);
        }
        let name = text("bucket");
        if !is_bucket(name) {
            errors.add(
                "bucket",
                "use the bucket's name: 3 to 63 lower-case letters, digits, dots and dashes",
            );
        }
        let prefix = text("prefix").trim_matches('/');
        if !prefix.is_empty() && (Key::parse(prefix).is_err() || prefix.len() > 512) {
            errors.add(
                "prefix",
                "use letters, digits, dots, dashes and underscores, with slashes between, no part beginning with a dot or dash",
            );
        }
        let access_key = text("access_key");
        if !is_graphic(access_key, 256) {
            errors.add(
                "access_key",
                "enter the id of an access key, without spaces",
            );
        }
        let secret_key = settings.secrets.get("secret_key").cloned();
        let secret_key = secret_key.unwrap_or_default();
        if !is_graphic(secret_key.expose(), 1024) {
            errors.add("secret_key", "enter the secret of that key, without spaces");
        }
        let region = Some(text("region")).filter(|text| !text.is_empty());
        let region = region.unwrap_or(DEFAULT_REGION);
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if region.len() > 64 || !region.bytes().all(is_plain) {
            errors.add("region", "use the region's name, as eu-central-1");
        }
        let path_style = match text("addressing") {
            "" => !endpoint.is_empty(),
            "path" => true,
            "virtual" => false,
            _ => {
                errors.add("addressing", "use path or virtual");
                true
            }
        };
        errors.into_result()?;
        Ok(Self {
            endpoint: (!endpoint.is_empty()).then(|| endpoint.to_owned()),
            name: name.to_owned(),
            prefix: match prefix {
                "" => String::new(),
                prefix => format!("{prefix}/"),
            },
            access_key: access_key.to_owned(),
            secret_key,
            region: region.to_owned(),
            path_style,
        })
    }

    /// An address that is written down is judged here; one that a name has, when it is looked up.
    pub fn may_be_at(&self, place: &Place) -> Result<(), FieldErrors> {
        let host = endpoint_host(self.endpoint.as_deref().unwrap_or_default());
        let Ok(Some(Ok(ip))) = host.map(|host| host.map(str::parse::<IpAddr>)) else {
            return Ok(());
        };
        address::judge(ip, place.private_addresses)
            .map_err(|problem| FieldErrors::one("endpoint", problem))
    }

    /// For people, and nothing secret.
    pub fn describe(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => {
                let host = endpoint.split_once("://").map_or("", |(_, host)| host);
                format!("S3 bucket {} at {host}", self.name)
            }
            None => format!("S3 bucket {} in {}", self.name, self.region),
        }
    }
}

/// The host of a URL that has nothing but scheme, host and port; `None` when it is empty.
fn endpoint_host(endpoint: &str) -> Result<Option<&str>, &'static str> {
    const FORM: &str = "use a URL of scheme, host and port, as https://s3.example.com:9000";
    if endpoint.is_empty() {
        return Ok(None);
    }
    let rest = endpoint.strip_prefix("https://");
    let rest = rest.or_else(|| endpoint.strip_prefix("http://"));
    let rest = rest.ok_or("begin with https:// or http://")?;
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or(FORM)?,
        None => match rest.find(':') {
            Some(colon) => rest.split_at(colon),
            None => (rest, ""),
        },
    };
    let is_ip = host.parse::<IpAddr>().is_ok();
    let is_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let is_name = !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(is_host)
        && !host.starts_with(['-', '.']);
    let port_fits = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| {
            port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0)
        });
    if (is_ip || is_name) && port_fits {
        Ok(Some(host))
    } else {
        Err(FORM)
    }
}

fn is_bucket(name: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes
            .iter()
            .all(|b| alphanumeric(*b) || matches!(b, b'.' | b'-'))
        && bytes.first().is_some_and(|b| alphanumeric(*b))
        && bytes.last().is_some_and(|b| alphanumeric(*b))
        && !name.contains("..")
        && name.parse::<IpAddr>().is_err()
}

fn is_graphic(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(change: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::default();
        let fixed = [
            ("bucket", "backups"),
            ("access_key", "AK"),
            ("secret_key", "SK"),
        ];
        for (name, value) in fixed.iter().chain(change) {
            if *name == "secret_key" {
                settings.secrets.insert((*name).to_owned(), (*value).into());
            } else {
                settings
                    .plain
                    .insert((*name).to_owned(), (*value).to_owned());
            }
        }
        settings
    }

    #[test]
    fn every_form_of_a_prefix_is_one() {
        for prefix in ["a/b", "/a/b", "a/b/", "//a/b//", " a/b "] {
            assert_eq!(
                Bucket::parse(&settings(&[("prefix", prefix)]))
                    .unwrap()
                    .prefix,
                "a/b/"
            );
        }
        assert_eq!(
            Bucket::parse(&settings(&[("prefix", "/")])).unwrap().prefix,
            ""
        );
    }

    #[test]
    fn defaults_are_those_of_the_place() {
        let amazon = Bucket::parse(&settings(&[])).unwrap();
        assert_eq!(
            (amazon.region.as_str(), amazon.path_style),
            ("us-east-1", false)
        );
        assert_eq!(amazon.describe(), "S3 bucket backups in us-east-1");
        let own = [("endpoint", "http://s3.lan:9000/")];
        let own = Bucket::parse(&settings(&own)).unwrap();
        assert!(own.path_style);
        assert_eq!(own.endpoint.as_deref(), Some("http://s3.lan:9000"));
        assert_eq!(own.describe(), "S3 bucket backups at s3.lan:9000");
    }

    #[test]
    fn hostile_settings_are_refused_by_name() {
        for (field, value) in [
            ("endpoint", "s3.example.com"),
            ("endpoint", "ftp://s3.example.com"),
            ("endpoint", "https://user:password@s3.example.com"),
            ("endpoint", "https://s3.example.com/path"),
            ("endpoint", "https://s3.example.com?x"),
            ("endpoint", "https://"),
            ("endpoint", "https://h:0"),
            ("endpoint", "https://h:99999"),
            ("endpoint", "https://[::1"),
            ("endpoint", "https://a b"),
            ("endpoint", "https://a\r\nHost: b"),
            ("bucket", ""),
            ("bucket", "ab"),
            ("bucket", "Backups"),
            ("bucket", "a/../b"),
            ("bucket", "-backups"),
            ("bucket", "10.0.0.1"),
            ("prefix", "a/../b"),
            ("prefix", "a//b"),
            ("prefix", "a\0b"),
            ("access_key", ""),
            ("access_key", "a b"),
            ("access_key", "a\nb"),
            ("secret_key", ""),
            ("secret_key", "geheim \n"),
            ("region", "eu west"),
            ("region", "../x"),
            ("addressing", "both"),
            ("path_style", "yes"),
        ] {
            let errors = Bucket::parse(&settings(&[(field, value)])).unwrap_err();
            assert_eq!(errors.0.keys().collect::<Vec<_>>(), [field], "{value:?}");
            assert!(!format!("{errors:?}").contains("geheim"));
        }
    }
}
