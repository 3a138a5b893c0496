//! Every input that was kept once is tried again, without a fuzzer.

#![allow(clippy::unwrap_used, reason = "whatever is not as expected fails its test")]

use std::fs;
use std::path::Path;

use whoelse_fuzz_targets::TARGETS;

/// Inputs that are kept for one target are few and small: the tests run them each time.
const FILES_MAX: usize = 200;
const BYTES_MAX: u64 = 200 * 1024;

fn replay(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(name);
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::read(&path).unwrap();
        let outcome = std::panic::catch_unwind(|| target(&data));
        assert!(outcome.is_ok(), "{} fails", path.display());
        files += 1;
        bytes += data.len() as u64;
    }
    assert!((1..=FILES_MAX).contains(&files) && bytes <= BYTES_MAX, "{files} files, {bytes} bytes");
}

macro_rules! corpora {
    ($($name:ident),*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_target_is_replayed() {
            let replayed = [$(stringify!($name)),*];
            assert_eq!(replayed, TARGETS.map(|(name, _)| name));
        }
    };
}

corpora!(
    client_state,
    engine,
    event,
    framing,
    invite_link,
    journal,
    name,
    record,
    request,
    sanitiser
);
