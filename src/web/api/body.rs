//! What was sent. Parsed so that every refusal names its field, bounded in size, and without any
//! tolerance for fields that nobody knows: a misspelt option must not be lost in silence.

use poem::{
    FromRequest, Request, RequestBody, Result, error::ReadBodyError, http::StatusCode,
    web::Multipart,
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions, Object,
    registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseResult, Type},
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};
use serde_json::Value;
use tokio::io::AsyncReadExt;

use super::error::ApiError;

const MAX: usize = 1 << 20;
/// Parsers repeat what they did not like: as much of it as a person reads.
const SAID_MAX: usize = 200;

/// A JSON body.
pub struct Body<T>(pub T);

/// A JSON body that may be left out.
pub struct MaybeBody<T>(pub T);

/// A JSON body, or the same fields as a form with files (`multipart/form-data`).
pub struct Sent<T>(pub T);

/// Nothing to say: whoever says something is told that it would be lost.
#[derive(Object, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

impl<'a, T: DeserializeOwned + Type> ApiExtractor<'a> for Body<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(meta::<T>(true))
    }

    async fn from_request(
        _: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let bytes = read(body).await?;
        if bytes.is_empty() {
            return Err(ApiError::invalid("", "send a JSON object as the body").into());
        }
        Ok(Self(parse(&bytes)?))
    }
}

impl<'a, T: DeserializeOwned + Default + Type> ApiExtractor<'a> for MaybeBody<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(meta::<T>(false))
    }

    async fn from_request(
        _: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let bytes = read(body).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        Ok(Self(parse(&bytes)?))
    }
}

impl<'a, T: DeserializeOwned + Type> ApiExtractor<'a> for Sent<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let mut meta = meta::<T>(true);
        meta.content.push(MetaMediaType {
            content_type: "multipart/form-data",
            schema: T::schema_ref(),
        });
        Some(meta)
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let form = request.content_type().is_some_and(|kind| {
            let kind = kind.trim_start().to_ascii_lowercase();
            kind.starts_with("multipart/form-data")
        });
        if !form {
            return Body::from_request(request, body, options)
                .await
                .map(|Body(sent)| Self(sent));
        }
        let fields = fields_of_form(request, body).await?;
        let text = Value::Object(fields).to_string();
        Ok(Self(parse(text.as_bytes())?))
    }
}

/// Every part is a text under its name, files among them.
async fn fields_of_form(
    request: &Request,
    body: &mut RequestBody,
) -> Result<serde_json::Map<String, Value>> {
    let broken = || ApiError::invalid("", "the form could not be read to its end");
    let mut form = <Multipart as FromRequest>::from_request(request, body)
        .await
        .map_err(|_| broken())?;
    let (mut fields, mut left) = (serde_json::Map::new(), MAX);
    while let Some(part) = form.next_field().await.map_err(|_| broken())? {
        let name = part.name().unwrap_or_default().to_owned();
        let mut bytes = Vec::new();
        let mut part = part.into_async_read().take(left as u64 + 1);
        part.read_to_end(&mut bytes).await.map_err(|_| broken())?;
        left = left.checked_sub(bytes.len()).ok_or_else(too_large)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| ApiError::invalid(&short(&name), "it is no text"))?;
        if fields.insert(name.clone(), text.into()).is_some() {
            return Err(ApiError::invalid(&short(&name), "it was sent twice").into());
        }
    }
    Ok(fields)
}

fn too_large() -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too_large",
        "a body is at most 1 MiB long",
    )
}

fn meta<T: Type>(required: bool) -> MetaRequest {
    MetaRequest {
        description: None,
        content: vec![MetaMediaType {
            content_type: "application/json",
            schema: T::schema_ref(),
        }],
        required,
    }
}

async fn read(body: &mut RequestBody) -> Result<Vec<u8>, ApiError> {
    let unreadable = |_| ApiError::invalid("", "the body could not be read");
    let body = body.take().map_err(unreadable)?;
    match body.into_bytes_limit(MAX).await {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(ReadBodyError::PayloadTooLarge) => Err(too_large()),
        Err(_) => Err(ApiError::invalid(
            "",
            "the body could not be read to its end",
        )),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // An array would be taken for the fields in their order.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(ApiError::invalid("", "send a JSON object as the body"));
    }
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut source).map_err(|error| {
        let path = error.path().to_string();
        refusal(&path, error.inner())
    })?;
    source.end().map_err(|error| refusal(".", &error))?;
    Ok(parsed)
}

fn refusal(path: &str, error: &serde_json::Error) -> ApiError {
    let said = error.to_string();
    if !error.is_data() {
        return ApiError::invalid("", format!("the body is no valid JSON: {}", short(&said)));
    }
    // `at line 1 column 9` is of no use to whoever fills in a form.
    let said = said
        .rsplit_once(" at line ")
        .map_or(said.as_str(), |(said, _)| said);
    let above = if path == "." { "" } else { path };
    let named = ["unknown field `", "missing field `", "duplicate field `"]
        .iter()
        .find_map(|start| said.strip_prefix(start)?.split('`').next());
    match named {
        Some(name) if above.is_empty() || above.ends_with(name) => {
            ApiError::invalid(&short(name), short(said))
        }
        Some(name) => ApiError::invalid(&short(&format!("{above}.{name}")), short(said)),
        None => ApiError::invalid(&short(above), short(said)),
    }
}

/// As much of what was sent as an answer repeats.
pub(super) fn short(text: &str) -> String {
    if text.chars().count() <= SAID_MAX {
        return text.to_owned();
    }
    let cut: String = text.chars().take(SAID_MAX).collect();
    format!("{cut}…")
}

/// Sent as JSON, or as text that holds JSON, as clients of the replaced module send it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loose<T>(pub T);

impl<'de, T: DeserializeOwned + Default> Deserialize<'de> for Loose<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = match Value::deserialize(deserializer)? {
            Value::String(text) if text.trim().is_empty() => return Ok(Self(T::default())),
            Value::String(text) => serde_json::from_str(&text)
                .map_err(|error| D::Error::custom(format!("no valid JSON: {error}")))?,
            value => value,
        };
        if value.is_null() {
            return Ok(Self(T::default()));
        }
        serde_json::from_value(value)
            .map(Self)
            .map_err(D::Error::custom)
    }
}

impl<T: Send + Sync> Type for Loose<T> {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> std::borrow::Cow<'static, str> {
        "json".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            description: Some("JSON, or text that holds JSON"),
            ..MetaSchema::ANY
        }))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<T: DeserializeOwned + Default + Send + Sync> ParseFromJSON for Loose<T> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Self::deserialize(value.unwrap_or_default()).map_err(ParseError::custom)
    }
}
