//! Rights on a database, given again to another one by whom they were given.

use serde::Deserialize;

use super::names::ident;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Grant {
    grantor: String,
    /// `None`: everybody.
    grantee: Option<String>,
    privilege: String,
    /// May be granted on.
    grantable: bool,
}

/// Statements that leave a database with exactly these grants. `owner` is its owner, to whom the
/// server gives rights by default.
pub fn statements(grants: &[Grant], database: &str, owner: &str) -> Vec<String> {
    let revoke = |from: &str| format!("REVOKE ALL ON DATABASE {} FROM {from};\n", ident(database));
    let mut statements = vec![revoke("PUBLIC"), revoke(&ident(owner))];
    let ordered = in_order(grants, owner).into_iter();
    statements.extend(ordered.map(|grant| grant.statement(database, owner)));
    statements
}

/// Who was given the right to grant comes before those to whom they gave something.
fn in_order<'a>(grants: &'a [Grant], owner: &str) -> Vec<&'a Grant> {
    let mut left: Vec<&Grant> = grants.iter().collect();
    let mut order: Vec<&Grant> = Vec::new();
    while !left.is_empty() {
        let may = |grant: &&Grant| {
            grant.grantor == owner || order.iter().any(|before| before.lets(grant))
        };
        let (now, later): (Vec<_>, Vec<_>) = left.into_iter().partition(may);
        // Rights of a former grantor: the server will say so.
        let stuck = now.is_empty();
        order.extend(now);
        left = later;
        if stuck {
            order.append(&mut left);
        }
    }
    order
}

impl Grant {
    /// Whether this one is what allowed the other.
    fn lets(&self, other: &Grant) -> bool {
        self.grantable
            && self.privilege == other.privilege
            && self.grantee.as_ref() == Some(&other.grantor)
    }

    fn statement(&self, database: &str, owner: &str) -> String {
        let grantee = self.grantee.as_deref().map_or("PUBLIC".to_owned(), ident);
        let option = if self.grantable {
            " WITH GRANT OPTION"
        } else {
            ""
        };
        let (privilege, database) = (&self.privilege, ident(database));
        let grant = format!("GRANT {privilege} ON DATABASE {database} TO {grantee}{option};\n");
        if self.grantor == owner {
            return grant;
        }
        format!("SET ROLE {};\n{grant}RESET ROLE;\n", ident(&self.grantor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_come_after_the_right_to_grant() {
        let grant = |grantor: &str, grantee: Option<&str>, grantable| Grant {
            grantor: grantor.into(),
            grantee: grantee.map(Into::into),
            privilege: "CONNECT".into(),
            grantable,
        };
        let grants = [
            grant("b", None, false),
            grant("a", Some("b"), true),
            grant("o", Some("a"), true),
            grant("gone", Some("x"), false),
        ];
        assert_eq!(
            statements(&grants, "d", "o").concat(),
            "REVOKE ALL ON DATABASE \"d\" FROM PUBLIC;\n\
            REVOKE ALL ON DATABASE \"d\" FROM \"o\";\n\
            GRANT CONNECT ON DATABASE \"d\" TO \"a\" WITH GRANT OPTION;\n\
            SET ROLE \"a\";\nGRANT CONNECT ON DATABASE \"d\" TO \"b\" WITH GRANT OPTION;\nRESET ROLE;\n\
            SET ROLE \"b\";\nGRANT CONNECT ON DATABASE \"d\" TO PUBLIC;\nRESET ROLE;\n\
            SET ROLE \"gone\";\nGRANT CONNECT ON DATABASE \"d\" TO \"x\";\nRESET ROLE;\n"
        );
    }
}
