//! Backups in a bucket: Amazon S3, or any store that speaks its protocol.
//!
//! A put is whole or absent because the store makes an object at once, at the end; what has to be
//! cared for is what a failure, a lost answer or a killed process leaves behind (`put.rs`,
//! `clean.rs`). Stores differ in what they know beyond the basics, so little is used, and what may
//! be missing (`If-None-Match`, lists of open uploads, metadata) is done without where it is.

mod address;
mod clean;
mod parts;
mod providers;
mod put;
mod quirks;
mod read;
mod settings;
mod store;
mod trial;
mod turns;
mod words;

use std::{collections::BTreeMap, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_s3::presigning::PresigningConfig;

use self::{
    settings::{Bucket, FIELDS},
    store::Store,
};
use super::{
    ByteStream, Entry, Field, Key, Place, Preset, Settings, Stat, Stored, Target, TargetError,
    TargetKind, Trial,
};
use crate::domain::failure::FieldErrors;

pub struct S3Kind;

impl TargetKind for S3Kind {
    fn name(&self) -> &'static str {
        "s3"
    }

    fn label(&self) -> &'static str {
        "S3 (bucket)"
    }

    fn description(&self) -> &'static str {
        "Amazon S3, or any store that speaks its protocol. Safe from what happens to this server."
    }

    fn icon(&self) -> &'static str {
        "bucket"
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn presets(&self) -> &'static [Preset] {
        providers::ALL
    }

    fn shared(&self, plain: &BTreeMap<String, String>) -> String {
        let text = |name: &str| plain.get(name).map_or("", |value| value.trim());
        let endpoint = text("endpoint").trim_end_matches('/');
        format!("{} {endpoint} {}", self.name(), text("bucket"))
    }

    fn check(&self, place: &Place, settings: &Settings) -> Result<(), FieldErrors> {
        Bucket::parse(settings)?.may_be_at(place)
    }

    fn open(&self, place: &Place, settings: &Settings) -> Result<Arc<dyn Target>, FieldErrors> {
        let bucket = Bucket::parse(settings)?;
        bucket.may_be_at(place)?;
        Ok(Arc::new(S3(Store::open(bucket, place))))
    }
}

struct S3(Store);

#[async_trait]
impl Target for S3 {
    fn describe(&self) -> String {
        self.0.at().to_owned()
    }

    async fn put(
        &self,
        key: &Key,
        body: ByteStream,
        _size_hint: Option<u64>,
    ) -> Result<Stored, TargetError> {
        put::put(&self.0, key, body, put::WHOLE).await
    }

    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<ByteStream, TargetError> {
        read::get(&self.0, key, range).await
    }

    async fn stat(&self, key: &Key) -> Result<Option<Stat>, TargetError> {
        let found = self.0.find(key).await?;
        Ok(found.map(|found| Stat { size: found.size }))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, TargetError> {
        read::list(&self.0, prefix).await
    }

    async fn delete(&self, key: &Key) -> Result<(), TargetError> {
        // A put that was dropped may still be at work at taking itself back, and may not succeed.
        let _turn = turns::wait(&self.0.place(key)).await;
        self.0.remove(key).await?;
        clean::abort_at(&self.0, key).await
    }

    async fn check(&self) -> Result<(), TargetError> {
        let key = trial::key()?;
        put::put(&self.0, &key, trial::body(), put::WHOLE).await?;
        self.delete(&key).await
    }

    async fn sweep(&self) -> Result<Vec<String>, TargetError> {
        clean::sweep(&self.0).await
    }

    fn locate(&self, key: &Key) -> String {
        format!("s3://{}/{}", self.0.bucket().name, self.0.object(key))
    }

    fn fetch_by_hand(&self, key: &Key) -> Option<String> {
        let bucket = self.0.bucket();
        let endpoint = bucket.endpoint.as_ref();
        let endpoint = endpoint.map_or_else(String::new, |url| format!("--endpoint-url {url} "));
        let (region, from) = (&bucket.region, self.locate(key));
        // All of these are letters, digits and what needs no quotes.
        Some(format!("aws s3 cp {endpoint}--region {region} {from} ./"))
    }

    async fn presign(&self, key: &Key, valid: Duration) -> Result<Option<String>, TargetError> {
        presign(&self.0, key, valid).await.map(Some)
    }

    async fn try_out(&self) -> Vec<Trial> {
        trial::run(&self.0).await
    }
}

async fn presign(store: &Store, key: &Key, valid: Duration) -> Result<String, TargetError> {
    let unfit = |error: String| store.refused(format!("no link can be made: {error}"));
    let valid = PresigningConfig::expires_in(valid).map_err(|error| unfit(error.to_string()))?;
    let request = store.client().get_object().bucket(&store.bucket().name);
    let name = format!("attachment; filename=\"{}\"", key.name());
    let request = request
        .key(store.object(key))
        .response_content_disposition(name);
    let request = request.presigned(valid).await;
    let request = request.map_err(|error| unfit(error.to_string()))?;
    Ok(request.uri().to_owned())
}
