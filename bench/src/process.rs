//! What a process has used so far, read from `/proc`.

use std::fs;
use std::time::Duration;

use crate::failure::{Explain, Failure};

/// Ticks of `/proc/PID/stat` per second: fixed at 100 on all current Linux platforms.
const TICKS_PER_SECOND: u64 = 100;

/// Reads user and system time of a process with all its threads, to 10 ms.
pub(crate) fn cpu_of(pid: u32) -> Result<Duration, Failure> {
    cpu_from_file(&format!("/proc/{pid}/stat"))
}

/// Reads what this process has spent.
pub(crate) fn cpu_of_self() -> Result<Duration, Failure> {
    cpu_from_file("/proc/self/stat")
}

/// Reads the time of the threads a process has now, in nanoseconds where the kernel keeps them.
///
/// For a server at rest the ticks are too coarse. What an ended thread has spent is missing.
pub(crate) fn fine_cpu_of(pid: u32) -> Result<Duration, Failure> {
    let folder = format!("/proc/{pid}/task");
    let mut nanoseconds = 0;
    for task in fs::read_dir(&folder).explain(|| format!("reading {folder}"))? {
        let path = task.explain(|| format!("reading {folder}"))?.path().join("schedstat");
        let Ok(text) = fs::read_to_string(&path) else { return cpu_of(pid) };
        nanoseconds += first_number(&text).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Reads the resident memory of a process in bytes.
pub(crate) fn resident_bytes_of(pid: u32) -> Result<u64, Failure> {
    bytes_of(pid, "VmRSS:")
}

/// Reads the resident memory of a process that no file is behind, in bytes.
pub(crate) fn anonymous_bytes_of(pid: u32) -> Result<u64, Failure> {
    bytes_of(pid, "RssAnon:")
}

/// Counts the descriptors that a process has open.
pub(crate) fn descriptors_of(pid: u32) -> Result<usize, Failure> {
    let folder = format!("/proc/{pid}/fd");
    fs::read_dir(&folder).map(Iterator::count).explain(|| format!("reading {folder}"))
}

/// Reads what the system spends on the buffers of all its TCP sockets, in bytes.
pub(crate) fn tcp_bytes() -> Result<u64, Failure> {
    let path = "/proc/net/sockstat";
    let text = fs::read_to_string(path).explain(|| format!("reading {path}"))?;
    let pages = tcp_pages(&text).ok_or_else(|| Failure::new(format!("{path} has no TCP mem")))?;
    Ok(pages * rustix::param::page_size() as u64)
}

fn bytes_of(pid: u32, key: &str) -> Result<u64, Failure> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).explain(|| format!("reading {path}"))?;
    kilobytes_under(&text, key).ok_or_else(|| Failure::new(format!("{path} has no {key}")))
}

fn cpu_from_file(path: &str) -> Result<Duration, Failure> {
    let text = fs::read_to_string(path).explain(|| format!("reading {path}"))?;
    cpu_from_stat(&text).ok_or_else(|| Failure::new(format!("{path} has an unknown form")))
}

/// The name of the program, in brackets, may hold anything; so counting starts behind it.
fn cpu_from_stat(text: &str) -> Option<Duration> {
    let mut fields = text[text.rfind(')')? + 1..].split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1000 / TICKS_PER_SECOND))
}

fn tcp_pages(sockstat: &str) -> Option<u64> {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    first_number(&line[line.find(" mem ")? + " mem ".len()..])
}

fn kilobytes_under(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    first_number(line).map(|kilobytes| kilobytes * 1024)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_program_does_not_confuse() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 99 0 0 0 123 45 6 7 20 0 1 0 1 2 3";
        assert_eq!(cpu_from_stat(stat), Some(Duration::from_millis(1680)));
        assert_eq!(cpu_from_stat("42 (a) S 1"), None);
        assert_eq!(cpu_from_stat(""), None);
    }

    #[test]
    fn resident_memory_is_in_bytes() {
        let status = "VmSize:\t 9 kB\nVmRSS:\t  12 kB\nRssAnon:\t 8 kB\n";
        assert_eq!(kilobytes_under(status, "VmRSS:"), Some(12288));
        assert_eq!(kilobytes_under(status, "RssAnon:"), Some(8192));
        assert_eq!(kilobytes_under("VmSize:\t 9 kB\n", "VmRSS:"), None);
    }

    #[test]
    fn the_memory_of_sockets_is_in_pages() {
        let text = "sockets: used 9\nTCP: inuse 3 orphan 0 tw 1 alloc 4 mem 7\nUDP: inuse 1 mem 2";
        assert_eq!(tcp_pages(text), Some(7));
        assert_eq!(tcp_pages("TCP: inuse 3"), None);
    }

    #[test]
    fn this_process_can_be_read() {
        let pid = std::process::id();
        assert!(cpu_of(pid).is_ok() && fine_cpu_of(pid).is_ok());
        assert!(resident_bytes_of(pid).unwrap() > anonymous_bytes_of(pid).unwrap());
        assert!(descriptors_of(pid).unwrap() > 2 && tcp_bytes().is_ok());
    }
}
