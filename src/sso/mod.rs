//! Logging in at somebody else's: OpenID Connect, the authorization code with PKCE, state and nonce. Here is
//! the protocol alone; who may come in, and as what, is decided by whoever asks.

mod claims;

use std::time::{Duration, Instant};

use chrono::Utc;
use openidconnect::{
    AccessToken, AuthenticationFlow, AuthorizationCode, ClaimsVerificationError, ClientId,
    ClientSecret, CsrfToken, EndpointMaybeSet, EndpointNotSet, EndpointSet, IssuerUrl, Nonce,
    OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError,
    Scope, SignatureVerificationError, SubjectIdentifier, TokenResponse, UserInfoClaims,
    core::{
        CoreAuthPrompt, CoreGenderClaim, CoreJwsSigningAlgorithm, CoreProviderMetadata,
        CoreResponseType,
    },
};
use tokio::sync::Mutex;

pub use self::claims::Person;
use self::claims::{Claims, Client};
use crate::{
    domain::secret::Secret,
    notify::{AddressError, SendError, fetch},
};

/// What the provider says of itself is asked for anew after this long.
const KNOWN_FOR: Duration = Duration::from_secs(10 * 60);
/// And when a key is unknown, but not more often than this.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Whoever is to prove anew who they are has done it within this long.
const PROVED_WITHIN: chrono::Duration = chrono::Duration::minutes(5);

type Ready = Client<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Where people log in, and as whom the server speaks to it.
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    pub issuer: String,
    pub client_id: String,
    /// A public client has none.
    pub client_secret: Option<Secret>,
    /// Where the provider sends people back to.
    pub return_to: String,
    /// Beside `openid`.
    pub scopes: Vec<String>,
    /// The claim whose values are roles.
    pub role_claim: Option<String>,
    /// The provider may lie at a private address, and speak http.
    pub private: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SsoError {
    /// It cannot be asked, or answers nonsense.
    #[error("the login service cannot be asked: {0}")]
    Unreachable(String),
    /// It did not take the code.
    #[error("the login service refused the login: {0}")]
    Refused(String),
    /// What came is not to be believed, and why not.
    #[error("what the login service says is not to be believed: {0}")]
    Untrusted(&'static str),
}

/// Where to send somebody, and what to know when they come back.
pub struct Begun {
    pub address: String,
    pub state: Secret,
    pub kept: Kept,
}

/// Known to nobody else until they are back.
pub struct Kept {
    nonce: Nonce,
    verifier: PkceCodeVerifier,
    /// They were asked to log in there now, whatever session they had.
    anew: bool,
}

pub struct Provider {
    settings: ProviderSettings,
    known: Mutex<Option<(Instant, CoreProviderMetadata)>>,
}

impl Provider {
    pub fn new(settings: ProviderSettings) -> Self {
        Self {
            settings,
            known: Mutex::default(),
        }
    }

    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    pub async fn begin(&self, anew: bool) -> Result<Begun, SsoError> {
        let client = self.client(KNOWN_FOR).await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
        let mut request = client.authorize_url(flow, CsrfToken::new_random, Nonce::new_random);
        for scope in &self.settings.scopes {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        if anew {
            request = request
                .add_prompt(CoreAuthPrompt::Login)
                .set_max_age(Duration::ZERO);
        }
        let (address, state, nonce) = request.set_pkce_challenge(challenge).url();
        Ok(Begun {
            address: address.to_string(),
            state: Secret::new(state.into_secret()),
            kept: Kept {
                nonce,
                verifier,
                anew,
            },
        })
    }

    /// Who came back with that code. `issuer` is whom the answer says to be from, where it says so.
    pub async fn finish(
        &self,
        code: &str,
        issuer: Option<&str>,
        kept: Kept,
    ) -> Result<Person, SsoError> {
        if issuer.is_some_and(|issuer| issuer != self.settings.issuer) {
            return Err(SsoError::Untrusted("it is from another issuer"));
        }
        let client = self.client(KNOWN_FOR).await?;
        let code = AuthorizationCode::new(code.to_owned());
        let request = client.exchange_code(code).map_err(misconfigured)?;
        let ask = self.asks();
        let answer = request
            .set_pkce_verifier(kept.verifier)
            .request_async(&ask)
            .await;
        let tokens = answer.map_err(|error| match error {
            RequestTokenError::ServerResponse(said) => {
                SsoError::Refused(short(said.error().as_ref()))
            }
            RequestTokenError::Request(error) => unreachable(error),
            RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
                SsoError::Unreachable("it answers what no such service does".to_owned())
            }
        })?;
        let token = tokens.id_token();
        let token = token.ok_or(SsoError::Untrusted("it holds no ID token"))?;
        let check = |client: &Ready| {
            let verifier = client
                .id_token_verifier()
                .set_allowed_algs(asymmetric())
                .set_auth_time_verifier_fn(move |at| match at {
                    _ if !kept.anew => Ok(()),
                    Some(at) if Utc::now() - at <= PROVED_WITHIN => Ok(()),
                    _ => Err("too long ago, or not said".to_owned()),
                });
            token.claims(&verifier, &kept.nonce).cloned()
        };
        let claims = match check(&client) {
            // It may sign with a new key since it was asked.
            Err(ClaimsVerificationError::SignatureVerification(
                SignatureVerificationError::NoMatchingKey,
            )) => check(&self.client(AGAIN_AFTER).await?),
            checked => checked,
        };
        let claims = claims.map_err(|error| SsoError::Untrusted(why(&error)))?;
        let mut person = Person::of(&self.settings, &claims);
        if person.lacks(self.settings.role_claim.is_some()) {
            let more = self.more(&client, tokens.access_token(), claims.subject());
            person.complete(&self.settings, more.await.as_ref());
        }
        Ok(person)
    }

    /// What the provider tells only when it is asked for it. Whether that is needed is decided elsewhere.
    async fn more(
        &self,
        client: &Ready,
        token: &AccessToken,
        subject: &SubjectIdentifier,
    ) -> Option<UserInfoClaims<Claims, CoreGenderClaim>> {
        let request = client
            .user_info(token.clone(), Some(subject.clone()))
            .ok()?;
        let ask = self.asks();
        let told = request.request_async(&ask).await;
        if told.is_err() {
            tracing::warn!("the login service does not tell more of who logged in");
        }
        told.ok()
    }

    /// By what the provider said of itself at most so long ago.
    async fn client(&self, age: Duration) -> Result<Ready, SsoError> {
        let mut known = self.known.lock().await;
        let fresh = known.as_ref().filter(|(at, _)| at.elapsed() < age);
        let metadata = match fresh {
            Some((_, metadata)) => metadata.clone(),
            None => {
                let metadata = self.discover().await?;
                *known = Some((Instant::now(), metadata.clone()));
                metadata
            }
        };
        drop(known);
        let secret = self.settings.client_secret.as_ref();
        let secret = secret.map(|secret| ClientSecret::new(secret.expose().clone()));
        let return_to = RedirectUrl::new(self.settings.return_to.clone());
        let return_to = return_to.map_err(|_| misconfigured("the address to come back to"))?;
        let id = ClientId::new(self.settings.client_id.clone());
        Ok(Client::from_provider_metadata(metadata, id, secret).set_redirect_uri(return_to))
    }

    async fn discover(&self) -> Result<CoreProviderMetadata, SsoError> {
        let issuer = IssuerUrl::new(self.settings.issuer.clone());
        let issuer = issuer.map_err(|_| misconfigured("the issuer's address"))?;
        let ask = self.asks();
        let found = CoreProviderMetadata::discover_async(issuer, &ask).await;
        found.map_err(|error| match error {
            openidconnect::DiscoveryError::Request(error) => unreachable(error),
            openidconnect::DiscoveryError::Response(status, ..) => {
                SsoError::Unreachable(format!("it answers {status}"))
            }
            openidconnect::DiscoveryError::Validation(_) => SsoError::Unreachable(
                "it calls itself otherwise than --oidc-issuer does".to_owned(),
            ),
            _ => SsoError::Unreachable("it answers what no such service does".to_owned()),
        })
    }

    fn asks(
        &self,
    ) -> impl Fn(
        openidconnect::HttpRequest,
    ) -> futures_util::future::BoxFuture<
        'static,
        Result<openidconnect::HttpResponse, SendError>,
    > + Send
    + Sync
    + use<> {
        let private = self.settings.private;
        move |request| Box::pin(fetch(request, private))
    }
}

fn unreachable(error: SendError) -> SsoError {
    SsoError::Unreachable(match error {
        SendError::Address(AddressError::Private(host)) => format!(
            "{host} is an address of a private network; the server asks there when it is started with \
             --private-oidc"
        ),
        error => error.to_string(),
    })
}

/// Who has the server's secret could make what is signed with it.
fn asymmetric() -> [CoreJwsSigningAlgorithm; 9] {
    use CoreJwsSigningAlgorithm::{
        EcdsaP256Sha256, EcdsaP384Sha384, EdDsa, RsaSsaPkcs1V15Sha256, RsaSsaPkcs1V15Sha384,
        RsaSsaPkcs1V15Sha512, RsaSsaPssSha256, RsaSsaPssSha384, RsaSsaPssSha512,
    };
    [
        RsaSsaPkcs1V15Sha256,
        RsaSsaPkcs1V15Sha384,
        RsaSsaPkcs1V15Sha512,
        RsaSsaPssSha256,
        RsaSsaPssSha384,
        RsaSsaPssSha512,
        EcdsaP256Sha256,
        EcdsaP384Sha384,
        EdDsa,
    ]
}

fn why(error: &ClaimsVerificationError) -> &'static str {
    match error {
        ClaimsVerificationError::Expired(_) => "it has expired",
        ClaimsVerificationError::InvalidAudience(_) => "it is meant for another client",
        ClaimsVerificationError::InvalidAuthTime(_) => "who logged in did so too long ago",
        ClaimsVerificationError::InvalidIssuer(_) => "it is from another issuer",
        ClaimsVerificationError::InvalidNonce(_) => "it answers another question",
        ClaimsVerificationError::SignatureVerification(
            SignatureVerificationError::NoMatchingKey,
        ) => "it is signed with a key that the service does not have",
        ClaimsVerificationError::SignatureVerification(_) => "its signature is not good",
        _ => "it is not what such an answer has to be",
    }
}

fn misconfigured(what: impl std::fmt::Display) -> SsoError {
    SsoError::Unreachable(format!("it is not set up as it should be: {what}"))
}

/// What others say is repeated in part.
fn short(said: &str) -> String {
    let plain = said.chars().filter(|c| !c.is_control());
    plain.take(80).collect()
}
