//! Who asks, as an operation gets it. The gate in `access` has let them in already.

use poem::{Request, RequestBody, Result};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaSecurityScheme, Registry},
};

use super::error::ApiError;
use crate::{
    app::{AppError, Caller, Holdfast},
    domain::{event::ActorKind, run::Trigger},
    web::Web,
};

/// Somebody on their way through one request.
pub struct Visit {
    pub holdfast: Holdfast,
    pub caller: Caller,
}

impl Visit {
    pub fn trigger(&self) -> Trigger {
        match self.caller.actor.kind {
            ActorKind::Cli => Trigger::Cli,
            ActorKind::User => Trigger::Manual,
            _ => Trigger::Api,
        }
    }
}

const BEARER: &str = "bearer";
const SESSION: &str = "session";

impl<'a> ApiExtractor<'a> for Visit {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let scheme = |ty, description| MetaSecurityScheme {
            ty,
            description: Some(description),
            name: None,
            key_in: None,
            scheme: None,
            bearer_format: None,
            flows: None,
            openid_connect_url: None,
        };
        let bearer = MetaSecurityScheme {
            scheme: Some("bearer"),
            ..scheme(
                "http",
                "A token from POST /apikeys, or from `holdfast token issue`.",
            )
        };
        let session = MetaSecurityScheme {
            name: Some("holdfast"),
            key_in: Some("cookie"),
            ..scheme("apiKey", "The session of a browser.")
        };
        registry.create_security_scheme(BEARER, bearer);
        registry.create_security_scheme(SESSION, session);
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![BEARER, SESSION]
    }

    async fn from_request(
        req: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let missing = || AppError::Internal("an operation was reached past the gate".into());
        match (req.data::<Web>(), req.data::<Caller>()) {
            (Some(web), Some(caller)) => Ok(Self {
                holdfast: web.holdfast.clone(),
                caller: caller.clone(),
            }),
            _ => Err(ApiError::from(missing()).into()),
        }
    }
}
