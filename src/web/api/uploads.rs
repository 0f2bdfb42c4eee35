//! Restores from a file that is sent: received as it comes, never held in memory.

use poem::{Request, RequestBody, Result};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions, OpenApi,
    param::Path,
    registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry},
};

use super::{
    answer::Accepted,
    error::ApiError,
    restores::{RestoreRequested, accepted},
    visit::Visit,
};
use crate::web::intake::FileForm;

const KNOWN: [&str; 2] = ["strategy", "container"];

pub struct Uploads;

#[OpenApi]
impl Uploads {
    /// Restores a service from a file
    ///
    /// `file` is a backup as the strategy makes it, plain or packed with gzip or zstd; `strategy` is
    /// its kind; `container` is a service of this app; `identity` is the private key of a file that is
    /// encrypted with age. Sent before the file, they are looked at before the file is received. The file is checked as a whole before it is accepted.
    #[oai(
        path = "/apps/:slug/backups/upload-restore",
        method = "post",
        operation_id = "upload_restore"
    )]
    async fn upload_restore(
        &self,
        visit: Visit,
        slug: Path<String>,
        form: FormWithFile,
    ) -> Result<Accepted<RestoreRequested>, ApiError> {
        let (holdfast, caller, mut form) = (&visit.holdfast, &visit.caller, form.0);
        let Some(file) = form.file(&KNOWN).await? else {
            return Err(ApiError::invalid("file", "it is missing"));
        };
        let received = form.receive(holdfast, caller, &slug, file, &KNOWN).await?;
        let restore = holdfast
            .restore_upload(caller, &slug, received, &form.input())
            .await?;
        Ok(accepted(restore))
    }
}

/// A form with a file, not read yet.
pub struct FormWithFile(FileForm);

impl<'a> ApiExtractor<'a> for FormWithFile {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(_: &mut Registry) {}

    fn request_meta() -> Option<MetaRequest> {
        let field = |schema: MetaSchema, description| {
            MetaSchemaRef::Inline(Box::new(MetaSchema {
                description: Some(description),
                ..schema
            }))
        };
        let text = || MetaSchema::new("string");
        let binary = MetaSchema::new_with_format("string", "binary");
        let form = MetaSchema {
            required: vec!["strategy", "container", "file"],
            properties: vec![
                (
                    "strategy",
                    field(text(), "What the file is a backup of: `postgres`, …"),
                ),
                ("container", field(text(), "A service of this app.")),
                (
                    "identity",
                    field(
                        text(),
                        "The private key that opens the file, when it is encrypted with age. Forgotten \
                         when the restore is over.",
                    ),
                ),
                ("file", field(binary, "The backup.")),
            ],
            ..MetaSchema::new("object")
        };
        Some(MetaRequest {
            description: None,
            content: vec![MetaMediaType {
                content_type: "multipart/form-data",
                schema: MetaSchemaRef::Inline(Box::new(form)),
            }],
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let form = FileForm::of(request, body).await;
        Ok(Self(form.map_err(ApiError::from)?))
    }
}
