//! Tests of a connection's timeouts, and of how it is closed.

use super::*;

const LIMITS: SweepLimits = SweepLimits { handshake: 1, head: 2, idle: 3, write: 2, goodbye: 1 };

fn peer() -> Arc<Peer> {
    Peer::numbered(1)
}

/// Sweeps until the connection is asked to close; returns the number of sweeps.
fn sweeps_until_close(peer: &Peer) -> (u32, Option<Close>) {
    let before = peer.close_wish();
    for sweep in 1..=10 {
        peer.sweep(&LIMITS);
        if peer.close_wish() != before {
            return (sweep, peer.close_wish());
        }
    }
    (10, before)
}

#[test]
fn each_phase_has_its_timeout() {
    for (phase, expected) in [
        (Phase::Handshake, (2, Some(Close::Now))),
        (Phase::Head, (3, Some(Close::Now))),
        (Phase::Idle, (4, Some(Close::Drain))),
        (Phase::Busy, (10, None)),
        (Phase::Goodbye, (2, Some(Close::Now))),
    ] {
        let peer = peer();
        peer.enter(phase);
        assert_eq!(sweeps_until_close(&peer), expected, "{phase:?}");
    }
}

#[test]
fn further_bytes_of_a_slow_head_do_not_extend_its_timeout() {
    let peer = peer();
    peer.enter(Phase::Head);
    peer.sweep(&LIMITS);
    peer.write_waits(false);
    assert_eq!(sweeps_until_close(&peer), (2, Some(Close::Now)));
}

#[test]
fn a_client_that_reads_nothing_is_disconnected_and_one_that_reads_is_not() {
    let peer = peer();
    peer.enter(Phase::Busy);
    for _ in 0..10 {
        peer.write_waits(true);
        peer.sweep(&LIMITS);
        peer.write_waits(false);
    }
    assert_eq!(peer.close_wish(), None);
    peer.write_waits(true);
    assert_eq!(sweeps_until_close(&peer), (3, Some(Close::Now)));
}

#[test]
fn requests_in_flight_outlive_goodbye_in_a_drain_but_not_after_a_revocation() {
    let drained = peer();
    let request = InFlight::begin(Arc::clone(&drained));
    drained.close(Close::Drain);
    drained.enter(Phase::Goodbye);
    assert_eq!(sweeps_until_close(&drained), (10, Some(Close::Drain)));
    drop(request);
    assert_eq!(sweeps_until_close(&drained), (2, Some(Close::Now)), "the last answer has its time");

    let revoked = peer();
    let _request = InFlight::begin(Arc::clone(&revoked));
    revoked.close(Close::Revoked);
    revoked.enter(Phase::Goodbye);
    assert_eq!(sweeps_until_close(&revoked), (2, Some(Close::Now)));
}

#[test]
fn the_address_of_a_connection_is_the_latest() {
    let peer = peer();
    let (opened, moved): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [192, 0, 2, 1].into());
    assert_eq!((peer.origin, peer.address()), (opened, opened));
    for (seen, address) in [("::ffff:192.0.2.1", moved), ("127.0.0.1", opened), ("192.0.2.1", moved)] {
        peer.seen_at(seen.parse().unwrap());
        assert_eq!((peer.origin, peer.address()), (opened, address), "{seen}");
    }
}

#[test]
fn too_many_faults_close_a_connection() {
    let peer = peer();
    for _ in 0..10 * FAULTS_MAX {
        peer.count_faults(1);
        peer.forgive_fault();
        peer.forgive_fault();
    }
    peer.count_faults(FAULTS_MAX - 1);
    assert_eq!(peer.close_wish(), None);
    peer.count_faults(1);
    assert_eq!(peer.close_wish(), Some(Close::Excess));
}

#[test]
fn a_harder_close_is_not_replaced() {
    let peer = peer();
    peer.close(Close::Revoked);
    peer.close(Close::Drain);
    assert_eq!(peer.close_wish(), Some(Close::Revoked));
}
