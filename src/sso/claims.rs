//! What a provider says of somebody, as much of it as is asked for.

use std::collections::BTreeMap;

use openidconnect::{
    AdditionalClaims, EmptyExtraTokenFields, EndpointNotSet, IdTokenClaims, IdTokenFields,
    StandardErrorResponse, StandardTokenResponse, UserInfoClaims,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
        CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreRevocableToken,
        CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ProviderSettings;

/// Claims that the standard does not name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

impl AdditionalClaims for Claims {}

type Fields = IdTokenFields<
    Claims,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;

/// The crate's own client, but for the claims.
pub type Client<
    Auth = EndpointNotSet,
    Device = EndpointNotSet,
    Introspection = EndpointNotSet,
    Revocation = EndpointNotSet,
    Token = EndpointNotSet,
    UserInfo = EndpointNotSet,
> = openidconnect::Client<
    Claims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StandardTokenResponse<Fields, CoreTokenType>,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    Auth,
    Device,
    Introspection,
    Revocation,
    Token,
    UserInfo,
>;

/// Somebody whom the provider knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub issuer: String,
    /// Who they are there; never given to anybody else.
    pub subject: String,
    /// What they call themselves: nothing to know anybody by.
    pub name: Option<String>,
    /// The provider says that it is theirs.
    pub email: Option<String>,
    /// Values of the claim that roles follow from.
    pub roles: Vec<String>,
}

impl Person {
    pub(super) fn of(
        settings: &ProviderSettings,
        claims: &IdTokenClaims<Claims, CoreGenderClaim>,
    ) -> Self {
        let verified = claims.email_verified() == Some(true);
        Self {
            issuer: settings.issuer.clone(),
            subject: claims.subject().to_string(),
            name: claims.preferred_username().map(|name| name.to_string()),
            email: claims
                .email()
                .filter(|_| verified)
                .map(|email| email.to_string()),
            roles: roles(settings, claims.additional_claims()),
        }
    }

    pub(super) fn lacks(&self, roles: bool) -> bool {
        self.name.is_none() || self.email.is_none() || (roles && self.roles.is_empty())
    }

    pub(super) fn complete(
        &mut self,
        settings: &ProviderSettings,
        more: Option<&UserInfoClaims<Claims, CoreGenderClaim>>,
    ) {
        let Some(more) = more else { return };
        let name = more.preferred_username().map(|name| name.to_string());
        self.name = self.name.take().or(name);
        let verified = more.email_verified() == Some(true);
        let email = more.email().filter(|_| verified);
        let email = email.map(|email| email.to_string());
        self.email = self.email.take().or(email);
        if self.roles.is_empty() {
            self.roles = roles(settings, more.additional_claims());
        }
    }
}

/// A list of texts, or one.
fn roles(settings: &ProviderSettings, claims: &Claims) -> Vec<String> {
    let named = settings.role_claim.as_ref();
    match named.and_then(|name| claims.others.get(name)) {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(all)) => {
            let texts = all.iter().filter_map(Value::as_str);
            texts.map(ToOwned::to_owned).collect()
        }
        _ => vec![],
    }
}
