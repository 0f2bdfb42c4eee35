//! Stores that many use, as their own documentation names their endpoints. A region stands for its
//! neighbours: whoever is elsewhere changes it in both fields.

use crate::domain::form::Preset;

const ELSEWHERE: &str = "Elsewhere? Change the region, in the endpoint too.";

pub const ALL: &[Preset] = &[
    Preset {
        name: "amazon",
        label: "Amazon S3",
        help: "The region is that of the bucket.",
        values: &[
            ("endpoint", ""),
            ("region", "us-east-1"),
            ("addressing", ""),
        ],
    },
    Preset {
        name: "backblaze",
        label: "Backblaze B2",
        help: "The endpoint stands on the bucket's page; its second part is the region.",
        values: &[
            ("endpoint", "https://s3.us-west-004.backblazeb2.com"),
            ("region", "us-west-004"),
            ("addressing", ""),
        ],
    },
    Preset {
        name: "cloudflare",
        label: "Cloudflare R2",
        help: "Put the id of your account into the endpoint.",
        values: &[
            ("endpoint", "https://<account id>.r2.cloudflarestorage.com"),
            ("region", "auto"),
            ("addressing", ""),
        ],
    },
    Preset {
        name: "digitalocean",
        label: "DigitalOcean Spaces",
        help: ELSEWHERE,
        values: &[
            ("endpoint", "https://fra1.digitaloceanspaces.com"),
            ("region", "fra1"),
            ("addressing", ""),
        ],
    },
    Preset {
        name: "hetzner",
        label: "Hetzner Object Storage",
        help: ELSEWHERE,
        values: &[
            ("endpoint", "https://fsn1.your-objectstorage.com"),
            ("region", "fsn1"),
            ("addressing", ""),
        ],
    },
    Preset {
        name: "minio",
        label: "MinIO, Garage, Ceph or another of your own",
        help: "In a private network the server has to be started with --private-targets.",
        values: &[
            ("endpoint", "https://<host>:9000"),
            ("region", "us-east-1"),
            ("addressing", "path"),
        ],
    },
    Preset {
        name: "ovh",
        label: "OVHcloud",
        help: ELSEWHERE,
        values: &[
            ("endpoint", "https://s3.gra.io.cloud.ovh.net"),
            ("region", "gra"),
            ("addressing", ""),
        ],
    },
    Preset {
        name: "scaleway",
        label: "Scaleway",
        help: ELSEWHERE,
        values: &[
            ("endpoint", "https://s3.fr-par.scw.cloud"),
            ("region", "fr-par"),
            ("addressing", ""),
        ],
    },
    Preset {
        name: "wasabi",
        label: "Wasabi",
        help: ELSEWHERE,
        values: &[
            ("endpoint", "https://s3.eu-central-1.wasabisys.com"),
            ("region", "eu-central-1"),
            ("addressing", ""),
        ],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        domain::secret::Secret,
        target::{
            Settings,
            s3::settings::{Bucket, FIELDS},
        },
    };

    fn problem(preset: &Preset) -> Option<String> {
        let mut plain: BTreeMap<String, String> = preset
            .values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        plain.insert("bucket".into(), "backups".into());
        plain.insert("access_key".into(), "key".into());
        let secrets = BTreeMap::from([("secret_key".to_owned(), Secret::from("secret"))]);
        let parsed = Bucket::parse(&Settings { plain, secrets });
        parsed.err().map(|errors| errors.0.into_keys().collect())
    }

    #[test]
    fn each_is_right_as_it_stands_or_refused_until_it_is_filled_in() {
        for preset in ALL {
            for (field, value) in preset.values {
                let known = FIELDS
                    .iter()
                    .any(|known| known.name == *field && !known.secret);
                assert!(known, "{}: {field}", preset.name);
                assert!(!value.contains("http://"), "{}", preset.name);
            }
            let open = preset.values.iter().any(|(_, value)| value.contains('<'));
            let wanted = open.then(|| "endpoint".to_owned());
            assert_eq!(problem(preset), wanted, "{}", preset.name);
        }
    }
}
