//! Instructions and allocations by function, counted by callgrind.
//!
//! Two runs of the same program that differ only in how many requests they answer are subtracted, which leaves the
//! requests: start, handshakes and end are the same in both. The format is that of Valgrind's manual ("Callgrind Format
//! Specification").
//!
//! An allocation is a call of libc's `malloc` and its relatives, or of mimalloc's inside the program. What nginx and
//! haproxy take from their pools is none until the pool asks libc.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::contestant::Contestant;
use crate::load;
use crate::protocol::Protocol;
use crate::runner::Runner;

/// Functions that allocate, of mimalloc (which Rust code calls) and of libc (which C code calls).
const ALLOCATORS: [&str; 8] = [
    "mi_malloc_aligned",
    "mi_zalloc_aligned",
    "mi_realloc_aligned",
    "malloc",
    "calloc",
    "realloc",
    "posix_memalign",
    "aligned_alloc",
];
/// The prefix of what libc has between `posix_memalign` and `malloc`, which is counted already.
const ALLOCATOR_INSIDE: &str = "_mid_memalign";
/// The prefix of the functions of aws-lc, each with the version behind it.
const CRYPTO_PREFIX: &str = "aws_lc_";
/// What runs once in a process, such as the calibration of a clock, and takes more or less time from run to run. Part
/// of the functions' names.
const ONCE: [&str; 2] = ["once_cell::imp::OnceCell", "std::sync::once::Once"];

/// Requests of the short run: all of the varied load once, so that every run has the same mixture.
pub(crate) const REQUESTS: u64 = 1_024;
/// The second run has so many times the requests of the first.
pub(crate) const LONG_RUN: u64 = 5;
/// Requests before those that are counted.
pub(crate) const WARM_UP: u64 = 100;

/// The figures of a function, for a run or for one request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cost {
    /// With all that was inlined into it, and without the functions that it called.
    pub(crate) instructions: f64,
    pub(crate) allocations: f64,
}

/// The figures of a run or of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Profile {
    /// By name, and whether they are the program's: its code, the crates, the allocator. The others, of libraries and of
    /// the cryptography inside the program, are chosen by the CPU.
    functions: BTreeMap<(bool, String), Cost>,
}

/// The profile of one request to a contestant. `load` is that of the short run.
pub(crate) async fn request(
    runner: &Runner,
    contestant: &Contestant,
    protocol: Protocol,
    load: load::Options,
) -> anyhow::Result<Profile> {
    // The first start makes certificates, which only the short run would count.
    contestant.start(runner, "callgrind", None).await?.end().await?;
    let run = async |requests: u64| {
        let file = runner.file("callgrind.out");
        let subject = contestant.start(runner, "callgrind", Some(&file)).await?;
        subject.load(runner, protocol, load::Options { requests, ..load }).await?;
        subject.end().await?;
        Profile::read(&file, &contestant.program).with_context(|| format!("profile of {}", contestant.name))
    };
    let (short, long) = (run(load.requests).await?, run(load.requests * LONG_RUN).await?);
    #[expect(clippy::cast_precision_loss, reason = "no run comes near 2^53 requests")]
    Ok(long.per_request(&short, (load.requests * (LONG_RUN - 1)) as f64))
}

impl Profile {
    /// Reads the profile of a program.
    pub(crate) fn read(path: &Path, program: &Path) -> anyhow::Result<Self> {
        let text = fs::read(path).with_context(|| format!("callgrind wrote no {}", path.display()))?;
        let name = program.file_name().context("the program has no name")?;
        Self::parse(&String::from_utf8_lossy(&text), &name.to_string_lossy())
    }

    fn parse(text: &str, program: &str) -> anyhow::Result<Self> {
        let mut profile = Self::default();
        let (mut object, mut function) = (String::new(), String::new());
        let (mut called_object, mut called) = (None, String::new());
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(name) = line.strip_prefix("ob=") {
                object = name.to_owned();
            } else if let Some(name) = line.strip_prefix("fn=") {
                function = plain(name);
            } else if let Some(name) = line.strip_prefix("cob=") {
                called_object = Some(name.to_owned());
            } else if let Some(name) = line.strip_prefix("cfn=") {
                called = plain(name);
            } else if let Some(calls) = line.strip_prefix("calls=") {
                let calls: f64 = calls.split(' ').next().unwrap_or_default().parse()?;
                // What the called functions cost.
                lines.next().context("a call without a cost")?;
                let callee = called_object.take().unwrap_or_else(|| object.clone());
                // An allocator that calls another one was counted already.
                let inside =
                    ALLOCATORS.contains(&function.as_str()) || function.starts_with(ALLOCATOR_INSIDE);
                let is_allocator = ALLOCATORS.contains(&called.as_str())
                    && (callee.ends_with(program) || callee.contains("libc.so"));
                if is_allocator && !inside {
                    profile.cost(&object, &function, program).allocations += calls;
                }
            } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
                // The line's position and the instructions; a line without them costs nothing.
                let instructions = line.split(' ').nth(1).unwrap_or("0").parse::<f64>();
                let instructions = instructions.context("a cost is no number")?;
                profile.cost(&object, &function, program).instructions += instructions;
            }
        }
        if profile.functions.is_empty() {
            bail!("callgrind counted nothing");
        }
        Ok(profile)
    }

    fn cost(&mut self, object: &str, function: &str, program: &str) -> &mut Cost {
        let is_program = object.ends_with(program) && !function.starts_with(CRYPTO_PREFIX);
        self.functions.entry((is_program, function.to_owned())).or_default()
    }

    /// The figures of one request, by a run with `requests` more of them than an earlier one.
    pub(crate) fn per_request(&self, earlier: &Self, requests: f64) -> Self {
        let once = |name: &str| ONCE.iter().any(|once| name.contains(once));
        let keys = self.functions.keys().chain(earlier.functions.keys()).filter(|(_, name)| !once(name));
        let functions = keys.map(|key| {
            let [now, before] =
                [self, earlier].map(|profile| profile.functions.get(key).copied().unwrap_or_default());
            let cost = Cost {
                instructions: (now.instructions - before.instructions) / requests,
                allocations: (now.allocations - before.allocations) / requests,
            };
            (key.clone(), cost)
        });
        Self { functions: functions.collect() }
    }

    /// Instructions of all functions.
    pub(crate) fn instructions(&self) -> f64 {
        self.functions.values().map(|cost| cost.instructions).sum()
    }

    /// Instructions of the program's functions, which are the same on every CPU.
    pub(crate) fn program_instructions(&self) -> f64 {
        let program = self.functions.iter().filter(|((is_program, _), _)| *is_program);
        program.map(|(_, cost)| cost.instructions).sum()
    }

    /// Allocations of all functions.
    pub(crate) fn allocations(&self) -> f64 {
        self.functions.values().map(|cost| cost.allocations).sum()
    }

    /// The functions with the most instructions, the greatest first.
    pub(crate) fn top(&self, count: usize) -> Vec<(String, f64)> {
        let functions = self.functions.iter().map(|((_, name), cost)| (name.clone(), cost.instructions));
        let mut functions: Vec<_> = functions.collect();
        functions.sort_by(|one, other| other.1.total_cmp(&one.1));
        functions.truncate(count);
        functions
    }
}

/// A name as it is in every build: without the hashes of crates (`[0123456789abcdef]`), the numbers that the linker
/// appends to a function that it moved (`.llvm.123`) and those of recursion (`'2`).
fn plain(name: &str) -> String {
    let name = name.split_once(".llvm.").map_or(name, |(before, _)| before);
    let name = match name.rsplit_once('\'') {
        Some((before, number)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => before,
        _ => name,
    };
    let mut parts = name.split('[');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(']') {
            Some((hash, rest)) if hash.len() >= 12 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
                plain.push_str(rest);
            }
            _ => plain.extend(["[", part]),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# callgrind format
events: Ir
summary: 33

ob=/tmp/server
fl=a.rs
fn=one::serve'2
10 5
+3 4
cfn=mi_malloc_aligned
calls=3 20
+1 9
cob=/lib/libc.so.6
cfn=memcpy
calls=1 7
* 2
fn=mi_malloc_aligned
1 6
cfn=malloc
calls=1 1
1 3
fn=aws_lc_0_1_seal
7 8

ob=/lib/libc.so.6
fn=memcpy
7 2
";

    #[test]
    fn costs_belong_to_functions_of_the_program_or_others() -> anyhow::Result<()> {
        let profile = Profile::parse(TEXT, "server")?;
        let serve = profile.functions[&(true, "one::serve".to_owned())];
        assert_eq!(serve, Cost { instructions: 9.0, allocations: 3.0 });
        assert_eq!((profile.program_instructions(), profile.instructions()), (15.0, 25.0));
        assert_eq!(profile.allocations(), 3.0);
        assert_eq!(profile.top(1), [("one::serve".to_owned(), 9.0)]);
        Ok(())
    }

    #[test]
    fn an_allocation_that_goes_through_several_allocators_is_one() -> anyhow::Result<()> {
        let text = "\
ob=/tmp/server
fn=ngx_memalign
1 1
cob=/lib/libc.so.6
cfn=posix_memalign
calls=2 1
1 9
ob=/lib/libc.so.6
fn=posix_memalign
1 1
cfn=_mid_memalign.constprop.0
calls=2 1
1 8
fn=_mid_memalign.constprop.0
1 1
cfn=malloc
calls=2 1
1 7
fn=strdup
1 1
cfn=malloc
calls=1 1
1 7
";
        assert_eq!(Profile::parse(text, "server")?.allocations(), 3.0);
        Ok(())
    }

    #[test]
    fn two_runs_leave_the_requests_between_them() -> anyhow::Result<()> {
        let profile = Profile::parse(TEXT, "server")?;
        let mut more = profile.clone();
        let once = "once_cell::imp::OnceCell<T>::initialize".to_owned();
        more.functions.insert((true, once), Cost { instructions: 900.0, ..Cost::default() });
        more.functions.insert((true, "new".to_owned()), Cost { instructions: 40.0, ..Cost::default() });
        let request = more.per_request(&profile, 4.0);
        assert_eq!(request.instructions(), 10.0);
        assert_eq!(request.allocations(), 0.0);
        Ok(())
    }

    #[test]
    fn names_are_the_same_in_every_build() {
        assert_eq!(plain("core[b0b93dadfe27ccb2]::ops::call.llvm.77"), "core::ops::call");
        assert_eq!(plain("<[u8] as Write>::write'3"), "<[u8] as Write>::write");
        assert_eq!(plain("poll<'a>"), "poll<'a>");
    }
}
