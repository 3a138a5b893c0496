//! The wording of files.

use whoelse_client::links::files::{
    FileFailure, FileLine, FileNotice, FileOf, FileState, Progress,
};
use whoelse_proto::FileName;

use super::*;

fn file(sending: bool) -> FileOf {
    FileOf { user: "luke".into(), name: FileName::of("a report.pdf"), sending }
}

fn said(it: FileNotice) -> String {
    notice(&Notice::File(it))
}

fn failed(sending: bool, why: FileFailure) -> String {
    said(FileNotice::Failed { file: file(sending), why })
}

fn progress(done: u64, total: u64, bytes_per_second: u64) -> Progress {
    Progress { done, total, bytes_per_second }
}

#[test]
fn a_file_from_offer_to_end() {
    let half = progress(6_000_000, 12_345_678, 2_000_000);
    let path = "/home/hans/Downloads/a report.pdf".into();
    for (lines, wording) in [
        (
            said(FileNotice::Wanted { file: file(false), size: 9_876 }),
            "* luke offers you a file: a report.pdf, 9.8 kB: accept luke, or decline luke\n",
        ),
        (
            said(FileNotice::Waits { file: file(true) }),
            "* sendfile luke a report.pdf: offered as soon as there is a link with luke\n",
        ),
        (
            said(FileNotice::Asked { file: file(true), size: 999 }),
            "* sendfile luke a report.pdf: offered, 999 bytes; waiting for luke to accept\n",
        ),
        (
            said(FileNotice::Started { file: file(true), again: false }),
            "* sendfile luke a report.pdf: accepted; it is on its way\n",
        ),
        (
            said(FileNotice::Started { file: file(false), again: false }),
            "* receiving a report.pdf from luke\n",
        ),
        (
            said(FileNotice::Started { file: file(false), again: true }),
            "* a report.pdf from luke: goes on\n",
        ),
        (
            said(FileNotice::Progress { number: 3, file: file(true), progress: half }),
            "* a report.pdf to luke: 48 % of 12 MB, 2.0 MB/s, 4 seconds left\n",
        ),
        (
            said(FileNotice::Waiting { file: file(false), progress: half }),
            "* a report.pdf from luke: interrupted at 48 %; it goes on as soon as there is a link with \
             luke\n",
        ),
        (
            said(FileNotice::Kept { file: file(false), size: 12_345_678 }),
            "* unfinished: a report.pdf from luke, 12 MB; it goes on with the next private link with \
             luke; files lists it, cancel gives it up\n",
        ),
        (
            said(FileNotice::Received { file: file(false), path }),
            "* received a report.pdf from luke: /home/hans/Downloads/a report.pdf\n",
        ),
        (
            said(FileNotice::Sent { file: file(true) }),
            "* sendfile luke a report.pdf: sent; luke has all of it\n",
        ),
        (
            failed(true, FileFailure::Declined),
            "* sendfile luke a report.pdf: not sent; luke does not want it\n",
        ),
        (
            failed(false, FileFailure::NotAsOffered),
            "* a report.pdf from luke: not received; what luke sent is not what was offered; nothing \
             of it is kept\n",
        ),
        (
            failed(false, FileFailure::DiskFull { needed: 5_000_000_000, free: 1_200_000 }),
            "* a report.pdf from luke: not received; there is no room for it: 5.0 GB needed, 1.2 MB \
             free\n",
        ),
    ] {
        assert_eq!(lines, wording);
    }
}

#[test]
fn the_list_has_numbers_by_which_files_are_cancelled() {
    let states = [
        FileState::Waits,
        FileState::Reading,
        FileState::Asked { size: 1_000 },
        FileState::Going(progress(0, 1_000, 0)),
        FileState::Interrupted(progress(500, 1_000, 7)),
        FileState::Interrupted(progress(0, 0, 0)),
    ];
    let lines =
        (2..).zip(states).map(|(number, state)| FileLine { number, file: file(true), state });
    let name = "a report.pdf to luke";
    assert_eq!(
        answered(Command::Files, Answer::Files { transfers: lines.collect(), gets: Vec::new() }),
        format!(
            "* files: 6 under way\n  2: {name}: waits for a link\n  3: {name}: being read\n  \
             4: {name}: 1.0 kB, not answered yet\n  5: {name}: 0 % of 1.0 kB\n  6: {name}: interrupted, \
             50 % of 1.0 kB (500 bytes); goes on with the next link\n  7: {name}: interrupted, 100 % of \
             0 bytes; goes on with the next link\n"
        )
    );
    assert_eq!(
        answered(Command::Files, Answer::Files { transfers: Vec::new(), gets: Vec::new() }),
        "* files: none under way\n"
    );
}
