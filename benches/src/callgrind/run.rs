//! Servers under callgrind, run twice with more requests the second time.

use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::Profile;
use crate::protocol::Protocol;
use crate::stage::{Contestant, Stage};
use crate::start::Setup;

/// The second run answers so many times what the first one does.
pub(crate) const LONG_RUN: u64 = 5;
/// Whose data folder is used.
const PURPOSE: &str = "callgrind";

/// The number of connections, and of streams on each.
pub(crate) type Shape = (usize, usize);

/// Whether valgrind is there.
pub(crate) fn check_tool() -> anyhow::Result<()> {
    match Command::new("valgrind").arg("--version").stdout(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        _ => bail!("valgrind is needed; install it with: apt-get install valgrind"),
    }
}

/// The profile of one request.
pub(crate) async fn request(
    stage: &Stage,
    contestant: &Contestant,
    protocol: Protocol,
    shape: Shape,
    requests: u64,
) -> anyhow::Result<Profile> {
    // The first start makes certificates, which the short run would then have in it and the long one not.
    stage.start(contestant, PURPOSE, &stage.setup()).await?.end().await?;
    let short = run(stage, contestant, protocol, shape, requests).await?;
    let long = run(stage, contestant, protocol, shape, requests * LONG_RUN).await?;
    #[expect(clippy::cast_precision_loss, reason = "no run comes near 2^53 requests")]
    Ok(long.per_request(&short, (requests * (LONG_RUN - 1)) as f64))
}

async fn run(
    stage: &Stage,
    contestant: &Contestant,
    protocol: Protocol,
    (connections, streams): Shape,
    requests: u64,
) -> anyhow::Result<Profile> {
    let file = stage.file("callgrind.out");
    let setup = Setup { callgrind: Some(&file), ..stage.setup() };
    let subject = stage.start(contestant, PURPOSE, &setup).await?;
    let load = [
        ("requests", requests.to_string()),
        ("connections", connections.to_string()),
        ("streams", streams.to_string()),
        ("warm-up", "100".to_owned()),
        ("time-limit", "500".to_owned()),
    ];
    stage.load(&subject, protocol, &load).await?;
    subject.end().await?;
    Profile::read(&file, &contestant.program()?).with_context(|| format!("profile of {}", contestant.name))
}
