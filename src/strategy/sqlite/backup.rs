//! Backup: copy, check the copy, pass it on.

use super::tool::{COPY, SCRATCH, Tool};
use crate::{
    docker::Command,
    strategy::{
        Dumped, Probe, Sink, Site, StrategyError,
        swap::{self, Found, script},
        volume::{
            chosen::{chosen, wrong},
            pack::{pump, while_it_runs},
        },
    },
};

struct Ready {
    tool: Tool,
    paths: Vec<String>,
    size: u64,
}

async fn ready(site: &Site) -> Result<Ready, StrategyError> {
    let paths = chosen(&site.container, &site.options)?;
    for path in &paths {
        let on = swap::mount_of(&site.container, path);
        if on.is_none_or(|mount| mount.kind == "tmpfs") {
            let hint = "Put the database on a volume; what is on none is lost with the container.";
            return Err(wrong(format!("{path} is on no volume"), hint.to_owned()));
        }
    }
    let tool = Tool::open(site).await?;
    let found = swap::look(tool.site(), &site.container, &paths).await?;
    let mut size = 0;
    for (path, found) in paths.iter().zip(found) {
        if found == Found::Link {
            let hint = "Name the file that it leads to: SQLite's own files lie beside that.";
            return Err(wrong(
                format!("{path} is a symbolic link, or lies behind one"),
                hint.to_owned(),
            ));
        }
        size += tool.look(path).await?;
    }
    Ok(Ready { tool, paths, size })
}

pub async fn probe(site: &Site) -> Result<Probe, StrategyError> {
    let Ready { tool, paths, size } = ready(site).await?;
    let probe = Probe {
        subject: paths.join(", "),
        server: String::new(),
        tool: tool.version.clone(),
        size: Some(size),
    };
    tool.helper.remove().await?;
    Ok(probe)
}

pub async fn backup(site: &Site, sink: &mut dyn Sink) -> Result<Dumped, StrategyError> {
    let Ready { tool, paths, .. } = ready(site).await?;
    let warnings = while_it_runs(site, pour(&tool, &paths, sink)).await?;
    tool.helper.remove().await?;
    Ok(Dumped { warnings })
}

async fn pour(
    tool: &Tool,
    paths: &[String],
    sink: &mut dyn Sink,
) -> Result<Vec<String>, StrategyError> {
    let mut warnings = Vec::new();
    for path in paths {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = format!("{SCRATCH}{folder}");
        let what = format!("copying {path}");
        let arguments = [path.as_str(), &folder, name];
        script::run(tool.site(), COPY, &arguments, &what, script::LONG).await?;
        let (_, warning) = tool.check(&format!("{SCRATCH}{path}")).await?;
        warnings.extend(warning.map(|warning| format!("{path}: {warning}")));
    }
    let command = match paths {
        [path] => Command::new(["cat", &format!("{SCRATCH}{path}")]),
        paths => tool.tar.pack(SCRATCH, paths),
    };
    let program = command.program().to_owned();
    let (code, said) = pump(tool.site(), command, sink).await?;
    if code == 0 {
        return Ok(warnings);
    }
    let how = if code == 137 { "was killed" } else { "failed" };
    let said = said
        .trim()
        .lines()
        .last()
        .unwrap_or("it said nothing")
        .to_owned();
    Err(StrategyError::Tool {
        message: format!("{program} {how} (exit status {code}): {said}"),
        hint: "Look at the engine; the copy of the database was read from a helper container."
            .to_owned(),
        detail: said,
        temporary: true,
    })
}
