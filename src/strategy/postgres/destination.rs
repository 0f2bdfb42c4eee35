//! What a restore would meet: the database by the name of the backup's own, which need not be there;
//! or all of the server.

use super::{
    names::{self, literal},
    probe::{probe, size_of_all},
    server::Server,
    settings::ALL,
    survey::Survey,
};
use crate::strategy::{Probe, Site, StrategyError};

pub async fn look(site: &Site, subject: &str) -> Result<Probe, StrategyError> {
    if names::check(subject).is_err() {
        return probe(site).await; // it names no database
    }
    let server = Server::of(site).await?;
    if subject == ALL {
        let survey = Survey::now(&server, &[]).await?;
        return Ok(Probe {
            subject: subject.to_owned(),
            size: size_of_all(&server, &survey).await?,
            server: survey.version,
            tool: String::new(),
        });
    }
    let survey = Survey::now(&server, &[subject]).await?;
    let query = format!(
        "SELECT pg_database_size(oid) FROM pg_database
WHERE datname = {} AND has_database_privilege(oid, 'CONNECT');",
        literal(subject)
    );
    let sizes: Vec<u64> = server
        .ask(&survey.from, query, "looking at the database")
        .await?;
    Ok(Probe {
        subject: subject.to_owned(),
        server: survey.version,
        tool: String::new(),
        size: sizes.first().copied(),
    })
}
