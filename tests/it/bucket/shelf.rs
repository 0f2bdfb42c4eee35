//! What stands behind the protocol: files, as `s3s-fs` keeps them, with what a real store has and
//! that has not: buckets that may be missing, no folders, and a list of open uploads.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use s3s::{S3, S3Request, S3Response, S3Result, dto::*, s3_error};
use s3s_fs::FileSystem;

#[derive(Clone)]
pub struct Shelf {
    files: Arc<FileSystem>,
    root: PathBuf,
    /// Open ones: bucket and key by id.
    uploads: Arc<Mutex<BTreeMap<String, (String, String)>>>,
}

impl Shelf {
    pub fn new(root: &Path, bucket: &str) -> Self {
        fs::create_dir(root.join(bucket)).unwrap();
        Self {
            files: Arc::new(FileSystem::new(root).unwrap()),
            root: root.to_owned(),
            uploads: Arc::default(),
        }
    }

    /// An upload that somebody began and never ended.
    pub fn plant_upload(&self, owner: &str, bucket: &str, key: &str) {
        let id = format!("00000000-0000-4000-8000-{:012x}", self.uploads().len() + 1);
        let file = self.root.join(format!(".upload-{id}.json"));
        fs::write(file, format!("\"{owner}\"")).unwrap();
        let open = (bucket.to_owned(), key.to_owned());
        self.uploads.lock().unwrap().insert(id, open);
    }

    /// Keys of open uploads.
    pub fn uploads(&self) -> Vec<String> {
        let uploads = self.uploads.lock().unwrap();
        uploads.values().map(|(_, key)| key.clone()).collect()
    }

    fn exists(&self, bucket: &str) -> S3Result<()> {
        if self.root.join(bucket).is_dir() {
            Ok(())
        } else {
            Err(s3_error!(NoSuchBucket))
        }
    }

    /// No folder is an object.
    fn object(&self, bucket: &str, key: &str) -> S3Result<()> {
        self.exists(bucket)?;
        if self.root.join(bucket).join(key).is_file() {
            Ok(())
        } else {
            Err(s3_error!(NoSuchKey))
        }
    }

    fn open(&self, upload: &str) -> S3Result<()> {
        if self.uploads.lock().unwrap().contains_key(upload) {
            Ok(())
        } else {
            Err(s3_error!(NoSuchUpload))
        }
    }
}

#[async_trait::async_trait]
impl S3 for Shelf {
    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        self.exists(&request.input.bucket)?;
        self.files.put_object(request).await
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        self.object(&request.input.bucket, &request.input.key)?;
        self.files.get_object(request).await
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        self.object(&request.input.bucket, &request.input.key)?;
        self.files.head_object(request).await
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.exists(&request.input.bucket)?;
        if self
            .object(&request.input.bucket, &request.input.key)
            .is_err()
        {
            return Ok(S3Response::new(DeleteObjectOutput::default()));
        }
        self.files.delete_object(request).await
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.files.list_objects_v2(request).await
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let open = (request.input.bucket.clone(), request.input.key.clone());
        self.exists(&open.0)?;
        let created = self.files.create_multipart_upload(request).await?;
        let id = created.output.upload_id.clone().unwrap();
        self.uploads.lock().unwrap().insert(id, open);
        Ok(created)
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        self.open(&request.input.upload_id)?;
        self.files.upload_part(request).await
    }

    async fn list_parts(
        &self,
        request: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        self.open(&request.input.upload_id)?;
        self.files.list_parts(request).await
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let id = request.input.upload_id.clone();
        self.open(&id)?;
        let completed = self.files.complete_multipart_upload(request).await?;
        self.uploads.lock().unwrap().remove(&id);
        Ok(completed)
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let id = request.input.upload_id.clone();
        self.open(&id)?;
        let aborted = self.files.abort_multipart_upload(request).await?;
        self.uploads.lock().unwrap().remove(&id);
        Ok(aborted)
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let (bucket, prefix) = (request.input.bucket, request.input.prefix);
        self.exists(&bucket)?;
        let prefix = prefix.unwrap_or_default();
        let uploads = self.uploads.lock().unwrap();
        let asked = uploads
            .iter()
            .filter(|(_, (at, key))| *at == bucket && key.starts_with(&prefix));
        let uploads = asked.map(|(id, (_, key))| MultipartUpload {
            key: Some(key.clone()),
            upload_id: Some(id.clone()),
            ..MultipartUpload::default()
        });
        Ok(S3Response::new(ListMultipartUploadsOutput {
            uploads: Some(uploads.collect()),
            is_truncated: Some(false),
            bucket: Some(bucket),
            ..ListMultipartUploadsOutput::default()
        }))
    }
}
