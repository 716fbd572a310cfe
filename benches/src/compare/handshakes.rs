//! What a new connection costs the server, with its one request: whole handshakes, and resumed ones.

use super::Run;
use super::figure::{HANDSHAKE_FULL, HANDSHAKE_RESUMED, Sample};
use crate::load::Made;
use crate::protocol::Protocol;

const CONNECTIONS: u32 = 400;
const SMOKE_CONNECTIONS: u32 = 20;
/// Connections that are open at the same time.
const AT_A_TIME: u32 = 4;
/// A few sessions may be lost where several connections ask for one at the same time.
const RESUMED_MIN: f64 = 0.95;

/// How it is measured.
pub(super) fn describe(run: &Run<'_>) -> String {
    format!("CPU of {} connections with one request each", connections(run))
}

pub(super) async fn sample(run: &Run<'_>, place: usize, protocol: Protocol) -> anyhow::Result<Sample> {
    let subject = &run.subjects[place];
    let mut many = vec![("connections", connections(run).to_string()), ("at-a-time", AT_A_TIME.to_string())];
    let full: Made = run.stage.drive("connect", subject, protocol, &many).await?;
    let sample = Sample::default();
    if !protocol.is_encrypted() {
        return Ok(sample.with(&HANDSHAKE_FULL, full.server_cpu_us));
    }
    many.push(("resume", String::new()));
    let resumed: Made = run.stage.drive("connect", subject, protocol, &many).await?;
    Ok(judge(&full, &resumed))
}

/// A figure of resumed handshakes must not be one of whole ones, nor the other way round.
fn judge(full: &Made, resumed: &Made) -> Sample {
    let mut sample = Sample::default();
    if full.resumed == 0 {
        sample = sample.with(&HANDSHAKE_FULL, full.server_cpu_us);
    } else {
        sample.missing =
            Some(format!("{} of {} new handshakes were resumed", full.resumed, full.connections));
    }
    #[expect(clippy::cast_precision_loss, reason = "no run comes near 2^53 connections")]
    let share = resumed.resumed as f64 / resumed.connections as f64;
    if share >= RESUMED_MIN {
        return sample.with(&HANDSHAKE_RESUMED, resumed.server_cpu_us);
    }
    let why = format!("only {} of {} handshakes were resumed", resumed.resumed, resumed.connections);
    Sample { missing: Some(why), ..sample }
}

fn connections(run: &Run<'_>) -> u32 {
    if run.options.common.place.smoke {
        return SMOKE_CONNECTIONS;
    }
    run.options.connections.unwrap_or(CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_handshakes_are_no_figure_of_resumed_ones() {
        let made = |resumed| Made { connections: 100, resumed, per_second: 1.0, server_cpu_us: 5.0 };
        let good = judge(&made(0), &made(96));
        assert_eq!((good.value(&HANDSHAKE_FULL), good.value(&HANDSHAKE_RESUMED)), (Some(5.0), Some(5.0)));
        assert_eq!(good.missing, None);
        let none = judge(&made(0), &made(7));
        assert_eq!((none.value(&HANDSHAKE_FULL), none.value(&HANDSHAKE_RESUMED)), (Some(5.0), None));
        assert_eq!(none.missing.as_deref(), Some("only 7 of 100 handshakes were resumed"));
    }
}
