//! Who may come in from elsewhere, and as what. Pure.

use super::SsoSettings;
use crate::{domain::access::Role, sso::Person};

/// Characters of a name; a number may follow.
const NAME: usize = 48;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    As(Role),
    Refused(&'static str),
}

/// By the address's domain, then the strongest of the roles that their claim gives, then what everybody is.
pub fn admission(settings: &SsoSettings, person: &Person) -> Admission {
    let domain = person.email.as_deref().and_then(|it| it.rsplit_once('@'));
    let known = |domain: &str| {
        let mut domains = settings.domains.iter();
        domains.any(|allowed| allowed.eq_ignore_ascii_case(domain))
    };
    if !settings.domains.is_empty() && !domain.is_some_and(|(_, domain)| known(domain)) {
        return Admission::Refused("they have no verified e-mail address of an allowed domain");
    }
    let given = person.roles.iter();
    let strongest = given.filter_map(|value| settings.roles.get(value)).max();
    match strongest.copied().or(settings.new_users) {
        Some(role) => Admission::As(role),
        None => {
            Admission::Refused("nothing that the login service says of them makes them a user here")
        }
    }
}

/// What a user of that person is called: a name as users have one, whatever the provider says.
pub fn name_of(person: &Person) -> String {
    let said = person.name.as_deref().or(person.email.as_deref());
    let plain = |c: char| {
        let fits = c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if fits { c } else { '-' }
    };
    let name: String = said.unwrap_or_default().chars().map(plain).collect();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let name: String = name.chars().take(NAME).collect();
    if name.is_empty() {
        "user".to_owned()
    } else {
        name
    }
}

/// Of what others say, as much as a log line takes.
pub fn plain(text: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    text.chars().filter(plain).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::text, sso::ProviderSettings};

    fn settings() -> SsoSettings {
        SsoSettings {
            provider: ProviderSettings {
                issuer: "https://id.example.org".to_owned(),
                client_id: "holdfast".to_owned(),
                client_secret: None,
                return_to: "https://backup.example.org/login/sso/return".to_owned(),
                scopes: vec![],
                role_claim: Some("groups".to_owned()),
                private: false,
            },
            label: "Example".to_owned(),
            domains: vec!["example.org".to_owned()],
            roles: [("ops", Role::Operator), ("root", Role::Admin)]
                .map(|(value, role)| (value.to_owned(), role))
                .into(),
            new_users: None,
        }
    }

    fn person(email: Option<&str>, roles: &[&str]) -> Person {
        Person {
            issuer: "https://id.example.org".to_owned(),
            subject: "1".to_owned(),
            name: None,
            email: email.map(ToOwned::to_owned),
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
        }
    }

    #[test]
    fn domain_and_role_say_who_comes_in() {
        let mut settings = settings();
        let own = Some("ada@Example.ORG");
        let as_what = |settings: &SsoSettings, email, roles: &[&str]| match admission(
            settings,
            &person(email, roles),
        ) {
            Admission::As(role) => Some(role),
            Admission::Refused(_) => None,
        };
        assert_eq!(as_what(&settings, own, &["ops"]), Some(Role::Operator));
        assert_eq!(
            as_what(&settings, own, &["x", "root", "ops"]),
            Some(Role::Admin)
        );
        assert_eq!(as_what(&settings, own, &["OPS"]), None);
        assert_eq!(as_what(&settings, own, &[]), None);
        for email in [
            None,
            Some("ada@example.com"),
            Some("ada@sub.example.org"),
            Some("ada@example.org.evil.example"),
            Some("example.org"),
            Some("\"a@example.org\"@evil.example"),
        ] {
            assert_eq!(as_what(&settings, email, &["root"]), None, "{email:?}");
        }
        settings.new_users = Some(Role::Viewer);
        assert_eq!(as_what(&settings, own, &[]), Some(Role::Viewer));
        settings.domains.clear();
        assert_eq!(as_what(&settings, None, &[]), Some(Role::Viewer));
    }

    #[test]
    fn whatever_the_provider_says_becomes_a_name() {
        for (said, expected) in [
            ("ada", "ada"),
            ("ada@example.org", "ada-example.org"),
            ("-rm -rf", "rm--rf"),
            ("<b>Ünal</b>", "b--nal--b-"),
            ("../../etc", "etc"),
            ("", "user"),
            ("日本", "user"),
        ] {
            let person = Person {
                name: Some(said.to_owned()),
                ..person(None, &[])
            };
            let name = name_of(&person);
            assert_eq!(name, expected, "{said:?}");
            assert!(text::container_name("name", &name).is_ok(), "{name}");
        }
        let long = Person {
            name: Some("a".repeat(500)),
            ..person(None, &[])
        };
        assert_eq!(name_of(&long).len(), NAME);
    }
}
