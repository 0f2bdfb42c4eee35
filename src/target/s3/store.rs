//! The client of one bucket: how requests are made, signed, timed and repeated. It looks at nothing
//! outside (no environment, no files of other tools): what is not in the settings does not count.

use std::{sync::Arc, time::Duration};

use aws_sdk_s3::{
    Client,
    config::{
        BehaviorVersion, Builder, Credentials, Region, RequestChecksumCalculation,
        ResponseChecksumValidation, StalledStreamProtectionConfig,
        http::HttpResponse,
        retry::{RetryConfig, RetryPartition, TokenBucket},
        timeout::TimeoutConfig,
    },
    error::{ProvideErrorMetadata, SdkError},
};
use aws_smithy_http_client::{
    Builder as HttpBuilder,
    tls::{Provider, rustls_provider::CryptoMode},
};

use super::{address::Resolver, settings::Bucket, words};
use crate::target::{Key, Place, TargetError};

const CONNECT: Duration = Duration::from_secs(10);
/// For an answer that needs no data to be moved.
const ANSWER: Duration = Duration::from_secs(60);
/// The slowest way that is still one: bytes a second of each of the parts that are sent at once.
const SLOWEST: usize = 256 * 1024;
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    client: Client,
    bucket: Bucket,
    at: String,
    stall: Duration,
}

/// What is stored under a key.
pub struct Found {
    pub size: u64,
    /// Which put made it, when it was one of ours and the store keeps metadata.
    pub mark: Option<String>,
}

/// Metadata of ours: which put, and of small objects the digest.
pub const MARK: &str = "holdfast-put";
pub const DIGEST: &str = "holdfast-sha256";

impl Store {
    pub fn open(bucket: Bucket, place: &Place) -> Self {
        let http = HttpBuilder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_with_resolver(Resolver {
                private: place.private_addresses,
            });
        let (id, secret) = (&bucket.access_key, bucket.secret_key.expose());
        let retries = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS)
            .with_initial_backoff(FIRST_PAUSE);
        // Not shared with other stores: one that is down would use up the retries of all.
        let partition = RetryPartition::custom("holdfast").token_bucket(TokenBucket::unlimited());
        let mut config = Builder::new();
        config.set_endpoint_url(bucket.endpoint.clone());
        let config = config
            .behavior_version(BehaviorVersion::latest())
            .http_client(http)
            .region(Region::new(bucket.region.clone()))
            .force_path_style(bucket.path_style)
            .credentials_provider(Credentials::new(id, secret, None, None, "holdfast"))
            // Many stores refuse trailing checksums. Each body is signed, and so checked anyway.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .retry_config(retries)
            .retry_partition(partition.build())
            .timeout_config(timeouts(ANSWER.min(place.stall)))
            .build();
        let at = bucket.describe();
        Self(Arc::new(Inner {
            client: Client::from_conf(config),
            bucket,
            at,
            stall: place.stall,
        }))
    }

    pub fn client(&self) -> &Client {
        &self.0.client
    }

    pub fn bucket(&self) -> &Bucket {
        &self.0.bucket
    }

    pub fn at(&self) -> &str {
        &self.0.at
    }

    pub fn stall(&self) -> Duration {
        self.0.stall
    }

    /// The object's name in the bucket.
    pub fn object(&self, key: &Key) -> String {
        format!("{}{key}", self.0.bucket.prefix)
    }

    /// Names the object among those of all buckets.
    pub fn place(&self, key: &Key) -> String {
        format!("{} {}", self.name(), self.object(key))
    }

    /// Endpoint and bucket.
    pub fn name(&self) -> String {
        let bucket = &self.0.bucket;
        let endpoint = bucket.endpoint.as_deref().unwrap_or_default();
        format!("{endpoint} {}", bucket.name)
    }

    /// How a request that sends so many bytes is timed. A client cannot see how far its bytes came,
    /// so what has stalled is known by the time that even a slow way would have needed.
    pub fn sending(&self, bytes: usize) -> Builder {
        let moving = Duration::from_secs((bytes / SLOWEST) as u64);
        Builder::new().timeout_config(timeouts(self.0.stall + moving))
    }

    pub async fn find(&self, key: &Key) -> Result<Option<Found>, TargetError> {
        let head = self.client().head_object().bucket(&self.bucket().name);
        match head.key(self.object(key)).send().await {
            Ok(head) => Ok(Some(Found {
                size: head
                    .content_length()
                    .and_then(|n| n.try_into().ok())
                    .unwrap_or(0),
                mark: head.metadata().and_then(|all| all.get(MARK).cloned()),
            })),
            Err(error) => match self.told(key.as_str(), &error) {
                TargetError::Missing { .. } => Ok(None),
                refused if error.raw_response().is_some() => {
                    Err(self.reason(key).await.unwrap_or(refused))
                }
                error => Err(error),
            },
        }
    }

    /// An answer to HEAD has no body, and so no word of why: asked in another way.
    async fn reason(&self, key: &Key) -> Option<TargetError> {
        let list = self.client().list_objects_v2().bucket(&self.bucket().name);
        let list = list.prefix(self.object(key)).max_keys(1);
        let error = list.send().await.err()?;
        Some(self.told(key.as_str(), &error))
    }

    pub async fn remove(&self, key: &Key) -> Result<(), TargetError> {
        let delete = self.client().delete_object().bucket(&self.bucket().name);
        match delete.key(self.object(key)).send().await {
            Ok(_) => Ok(()),
            Err(error) => match self.told(key.as_str(), &error) {
                TargetError::Missing { .. } => Ok(()),
                error => Err(error),
            },
        }
    }

    pub fn told<E>(&self, key: &str, error: &SdkError<E, HttpResponse>) -> TargetError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        words::told(self.at(), key, error)
    }

    pub fn exists(&self, key: &Key) -> TargetError {
        TargetError::Exists {
            key: key.to_string(),
            at: self.at().to_owned(),
        }
    }

    pub fn refused(&self, reason: String) -> TargetError {
        TargetError::Refused {
            at: self.at().to_owned(),
            reason,
        }
    }

    pub fn unavailable(&self, reason: impl Into<String>) -> TargetError {
        TargetError::Unavailable {
            at: self.at().to_owned(),
            reason: reason.into(),
        }
    }
}

/// For each attempt of a request; of an answer with a body, until it begins.
fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(attempt)
        .build()
}

/// Whether this store does not know what it was asked.
pub fn is_unknown<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let code = error.code().unwrap_or_default();
    let status = error.raw_response().map_or(0, |raw| raw.status().as_u16());
    code == "NotImplemented" || status == 501 || status == 405
}
