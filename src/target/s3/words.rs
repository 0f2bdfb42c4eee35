//! What a store or the way to it said, in words that tell a person what to do, and whether trying
//! again may help. By codes, where there are some: texts differ from store to store.

use std::error::Error;

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use super::address::Forbidden;
use crate::target::TargetError;

const KEY: &str = "Check the access key and the secret key of the target.";
const RIGHTS: &str =
    "Give this key the rights to read, write, list and delete in that bucket (docs/s3.md).";
const BUCKET: &str = "Create the bucket, or correct its name.";
const REGION: &str = "Set the region that the bucket lies in.";
const CLOCK: &str = "Set this server's clock: a store refuses what is signed minutes off.";
const AWAY: &str = "It is tried again; check the endpoint and the network if it stays.";
const BUSY: &str = "It is tried again; the store is busy or has a fault of its own.";
const TLS: &str =
    "Check the endpoint: its certificate must be valid for that name, and known to this machine.";
const ADDRESS: &str = "Use another endpoint, or change how the server is started.";
const UNKNOWN: &str = "Look up what this store means by it.";
const NOT_S3: &str = "Check the endpoint: what answers there does not speak S3.";

/// `at` is the bucket, for people; `key` what it was about.
pub fn told<E>(at: &str, key: &str, error: &SdkError<E, HttpResponse>) -> TargetError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let at = at.to_owned();
    let failed = |reason: String, hint, temporary| TargetError::Failed {
        at: at.clone(),
        reason,
        hint,
        temporary,
    };
    match error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            let code = service.err().code().unwrap_or_default();
            by_code(&at, key, status, code, service.err().message())
        }
        SdkError::TimeoutError(_) => failed("it did not answer in time".to_owned(), AWAY, true),
        SdkError::ResponseError(response) => {
            let status = response.raw().status().as_u16();
            let reason = format!("its answer (status {status}) is not one of an S3 store");
            failed(reason, NOT_S3, status >= 500)
        }
        SdkError::DispatchFailure(_) => by_sources(&at, error),
        _ => failed("the request could not be made".to_owned(), UNKNOWN, false),
    }
}

fn by_code(at: &str, key: &str, status: u16, code: &str, message: Option<&str>) -> TargetError {
    let (at, key) = (at.to_owned(), key.to_owned());
    let (reason, hint, temporary) = match (code, status) {
        ("NoSuchBucket", _) => ("the bucket does not exist", BUCKET, false),
        ("NoSuchKey" | "NotFound", _) | ("", 404) => return TargetError::Missing { key, at },
        ("PreconditionFailed", _) | (_, 412) => return TargetError::Exists { key, at },
        ("QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull", _) | (_, 507) => {
            return TargetError::Full { at };
        }
        ("InvalidAccessKeyId" | "NotSignedUp" | "InvalidToken", _) => {
            ("the access key is not known there", KEY, false)
        }
        ("SignatureDoesNotMatch", _) => (
            "the secret key is not the one of the access key",
            KEY,
            false,
        ),
        ("RequestTimeTooSkewed" | "RequestExpired", _) => {
            ("this server's clock differs from the store's", CLOCK, false)
        }
        (
            "PermanentRedirect"
            | "TemporaryRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException",
            _,
        )
        | (_, 301 | 307) => ("the bucket lies in another region", REGION, false),
        ("NotImplemented", _) | (_, 501) => ("the store does not know this", UNKNOWN, false),
        ("AccessDenied" | "AllAccessDisabled" | "AccountProblem", _) | (_, 401 | 403) => {
            ("access denied", RIGHTS, false)
        }
        (
            "SlowDown"
            | "InternalError"
            | "ServiceUnavailable"
            | "RequestTimeout"
            | "OperationAborted"
            | "ConditionalRequestConflict"
            | "NoSuchUpload",
            _,
        )
        | (_, 429 | 500..) => ("it cannot do this at the moment", BUSY, true),
        _ => ("it refused", UNKNOWN, false),
    };
    let said = said(code, status, message);
    TargetError::Failed {
        at,
        reason: format!("{reason} ({said})"),
        hint,
        temporary,
    }
}

/// Code and text as the store gave them, cut to what fits into a line: it is foreign text.
fn said(code: &str, status: u16, message: Option<&str>) -> String {
    let code = match code {
        "" => format!("status {status}"),
        code => code.to_owned(),
    };
    let text = match message.unwrap_or_default() {
        "" => code,
        message => format!("{code}: {message}"),
    };
    let printable = text.chars().filter(|c| !c.is_control());
    printable.take(200).collect()
}

/// No answer came: the reasons lie one inside the other.
fn by_sources(at: &str, error: &(dyn Error + 'static)) -> TargetError {
    let (mut source, mut last, mut tls) = (Some(error), String::new(), false);
    while let Some(inner) = source {
        last = inner.to_string();
        if let Some(Forbidden(problem)) = inner.downcast_ref() {
            return TargetError::Failed {
                at: at.to_owned(),
                reason: (*problem).to_owned(),
                hint: ADDRESS,
                temporary: false,
            };
        }
        tls |= last.contains("certificate") || last.contains("HandshakeFailure");
        source = inner.source();
    }
    let last: String = last.chars().filter(|c| !c.is_control()).take(200).collect();
    TargetError::Failed {
        at: at.to_owned(),
        reason: if tls {
            format!("no trusted connection: {last}")
        } else {
            format!("it cannot be reached: {last}")
        },
        hint: if tls { TLS } else { AWAY },
        temporary: !tls,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_says_is_told_by_its_code() {
        let told = |code: &str, status: u16| {
            let error = by_code("S3 bucket b in r", "shop/1/a", status, code, Some("x\ny"));
            let again = if error.is_temporary() { "again: " } else { "" };
            format!("{again}{error}. {}", error.hint())
        };
        insta::assert_snapshot!(told("SignatureDoesNotMatch", 403), @"S3 bucket b in r: the secret key is not the one of the access key (SignatureDoesNotMatch: xy). Check the access key and the secret key of the target.");
        insta::assert_snapshot!(told("InvalidAccessKeyId", 403), @"S3 bucket b in r: the access key is not known there (InvalidAccessKeyId: xy). Check the access key and the secret key of the target.");
        insta::assert_snapshot!(told("", 403), @"S3 bucket b in r: access denied (status 403: xy). Give this key the rights to read, write, list and delete in that bucket (docs/s3.md).");
        insta::assert_snapshot!(told("NoSuchBucket", 404), @"S3 bucket b in r: the bucket does not exist (NoSuchBucket: xy). Create the bucket, or correct its name.");
        insta::assert_snapshot!(told("AuthorizationHeaderMalformed", 400), @"S3 bucket b in r: the bucket lies in another region (AuthorizationHeaderMalformed: xy). Set the region that the bucket lies in.");
        insta::assert_snapshot!(told("RequestTimeTooSkewed", 403), @"S3 bucket b in r: this server's clock differs from the store's (RequestTimeTooSkewed: xy). Set this server's clock: a store refuses what is signed minutes off.");
        insta::assert_snapshot!(told("SlowDown", 503), @"again: S3 bucket b in r: it cannot do this at the moment (SlowDown: xy). It is tried again; the store is busy or has a fault of its own.");
        insta::assert_snapshot!(told("QuotaExceeded", 403), @"no space left in S3 bucket b in r. Free some space, or keep fewer backups.");
        insta::assert_snapshot!(told("", 404), @"shop/1/a is not in S3 bucket b in r. It was moved or deleted outside Holdfast; look for it, or choose another backup.");
        insta::assert_snapshot!(told("EntityTooLarge", 400), @"S3 bucket b in r: it refused (EntityTooLarge: xy). Look up what this store means by it.");
    }

    #[test]
    fn foreign_text_stays_short_and_printable() {
        let text = said("X", 400, Some(&"\u{1b}[31mab".repeat(100)));
        assert!(text.len() <= 200 && !text.contains('\u{1b}'), "{text:?}");
    }
}
