//! The wording of files that are shared.

use whoelse_client::links::swarm::{
    FoundFile, GetLine, GetProgress, Given, Holder, Holders, NotShared, OfferFault, ShareLine,
    SwarmFile, SwarmNotice, SwarmWhy,
};
use whoelse_client::links::{FileFailure, Trust};
use whoelse_proto::{FileHash, FileName, Name, PartMap, Scope};

use super::*;

fn file() -> SwarmFile {
    SwarmFile { hash: FileHash([1; 32]), name: FileName::of("film.mkv"), size: 500_000_000 }
}

fn said(it: SwarmNotice) -> String {
    notice(&Notice::Swarm(it))
}

fn half() -> GetProgress {
    GetProgress {
        done: 250_000_000,
        total: 500_000_000,
        bytes_per_second: 50_000_000,
        parts: 954,
        parts_done: 477,
        sources: 3,
    }
}

fn two() -> Scope {
    Scope::People(["luke", "yoda"].map(|name| Name::new(name).unwrap()).into())
}

#[test]
fn a_share_from_beginning_to_end() {
    let not_shared = |why| said(SwarmNotice::NotShared { what: "film.mkv".into(), why });
    for (lines, wording) in [
        (
            said(SwarmNotice::Reading { path: "/a/film.mkv".into(), with: Scope::Everyone }),
            "* share /a/film.mkv: being read through; it is for everyone whom you do not block\n",
        ),
        (
            said(SwarmNotice::Shared { file: file(), with: two() }),
            "* share film.mkv: 500 MB, can be fetched by luke, yoda as long as this program runs\n",
        ),
        (
            not_shared(NotShared::File(FileFailure::NotThere)),
            "* share film.mkv: not shared; there is no such file\n",
        ),
        (
            not_shared(NotShared::Refused(Refusal::new(Why::Swarm(SwarmWhy::TooManyShares)))),
            "* share film.mkv: not shared; the server lists no more files; unshare one first\n",
        ),
        (
            said(SwarmNotice::StillShared { count: 1 }),
            "* 1 file of yours can be fetched again; shares lists them\n",
        ),
        (
            answered(Command::Unshare { which: "film.mkv".into() }, Answer::Done),
            "* unshare film.mkv: nobody can fetch it from you any more\n",
        ),
        (
            refused(Command::Unshare { which: "a".into() }, Why::Swarm(SwarmWhy::NotShared)),
            "* unshare a: not done; no such file is shared from here; shares lists them\n",
        ),
    ] {
        assert_eq!(lines, wording);
    }
}

#[test]
fn a_get_from_beginning_to_end() {
    let given =
        |user: &str, bytes| Given { user: user.into(), device: "laptop".into(), bytes, parts: 3 };
    let begun = |sources| {
        let trust = Trust::NotCompared;
        said(SwarmNotice::Begun { number: 1, file: file(), from: "luke".into(), trust, sources })
    };
    for (lines, wording) in [
        (
            begun(Some(3)),
            "* get film.mkv: 500 MB, signed by luke (not compared); 3 people have parts of it\n",
        ),
        (
            begun(Some(0)),
            "* get film.mkv: 500 MB, signed by luke (not compared); nobody who has it is here now, it \
             begins when somebody is\n",
        ),
        (
            said(SwarmNotice::Progress { number: 1, file: file(), progress: half() }),
            "* film.mkv: 50 % of 500 MB, 477/954 parts from 3 sources, 50 MB/s, 5 seconds left\n",
        ),
        (
            said(SwarmNotice::Starving { number: 1, file: file(), progress: half() }),
            "* film.mkv: 50 % are here; nobody who is here now has the rest, it goes on when somebody \
             is\n",
        ),
        (
            said(SwarmNotice::Banned {
                file: file(),
                user: "vader".into(),
                device: "helmet".into(),
            }),
            "* get film.mkv: vader (helmet) gave something that is not this file: it was thrown away, \
             and nothing more is asked there\n",
        ),
        (
            said(SwarmNotice::Received {
                number: 1,
                file: file(),
                path: "/d/film.mkv".into(),
                by: vec![given("luke", 300_000_000), given("yoda", 200_000_000)],
                seeded: true,
            }),
            "* received film.mkv: /d/film.mkv (300 MB from luke, 200 MB from yoda); others can get it \
             from you now\n",
        ),
    ] {
        assert_eq!(lines, wording);
    }
}

#[test]
fn what_becomes_of_a_get_and_who_asks() {
    for (lines, wording) in [
        (
            said(SwarmNotice::Failed {
                file: file(),
                why: FileFailure::DiskFull { needed: 5_000, free: 10 },
            }),
            "* get film.mkv: not received; there is no room for it: 5.0 kB needed, 10 bytes free; what has \
             come is kept, get film.mkv goes on with it\n",
        ),
        (
            said(SwarmNotice::Failed { file: file(), why: FileFailure::NotAsOffered }),
            "* get film.mkv: not received; what came is not what was offered\n",
        ),
        (
            said(SwarmNotice::Kept { number: 1, file: file(), progress: half(), goes_on: true }),
            "* unfinished: film.mkv, 500 MB, 50 % are here; it goes on by itself, files lists it, cancel \
             gives it up\n",
        ),
        (
            said(SwarmNotice::Waits { file: file(), progress: half() }),
            "* get film.mkv: 50 % are here; it goes on when this program runs again\n",
        ),
        (
            said(SwarmNotice::NotKept {
                file: file(),
                from: "luke".into(),
                why: OfferFault::Unsigned,
            }),
            "* get film.mkv: does not go on; what the server says of it is not signed by the device of \
             luke that it names: it, or somebody before it, lies\n",
        ),
        (
            said(SwarmNotice::FirstAsker {
                file: file(),
                user: "luke".into(),
                device: "laptop".into(),
            }),
            "* film.mkv is fetched by luke (laptop), whom you share it with: first contact, only the \
             server says whose device it is; safety luke shows how to check\n",
        ),
        (
            said(SwarmNotice::AskerRefused {
                file: file(),
                user: "luke".into(),
                device: "laptop".into(),
                known: None,
            }),
            "* STOP: film.mkv is wanted by luke (laptop), a device that was not known; nothing was \
             given. Compare with: safety luke; to take the key: safety luke accept\n",
        ),
        (
            said(SwarmNotice::AskSeed { hidden: false }),
            "* may others who want this file get from you what you have of it? They learn your \
             address. seed yes, or seed no (until then: no)\n",
        ),
    ] {
        assert_eq!(lines, wording);
    }
}

#[test]
fn what_cannot_be_believed_is_not_fetched() {
    let untrusted = |why| {
        let name = FileName::of("film.mkv");
        said(SwarmNotice::Untrusted { name, from: "luke".into(), why })
    };
    for (lines, wording) in [
        (
            untrusted(OfferFault::Unsigned),
            "* get film.mkv: not done; what the server says of it is not signed by the device of luke \
             that it names: it, or somebody before it, lies\n",
        ),
        (
            untrusted(OfferFault::Changed {
                device: "laptop".into(),
                known: Some(("laptop".into(), 0, true)),
            }),
            "* get film.mkv: not done; STOP: the device of luke that has signed it (laptop) has \
             another key than was known (device laptop since 1970-01-01, compared). Compare with: safety \
             luke; to take the new key: safety luke accept\n",
        ),
        (
            refused(Command::Get { which: "x".into() }, Why::Swarm(SwarmWhy::NotFound)),
            "* get x: not done; nobody shares such a file with you now; search-files lists what is \
             shared\n",
        ),
    ] {
        assert_eq!(lines, wording);
    }
}

#[test]
fn lists_of_files_that_are_shared() {
    let found = |from: &str, sources| FoundFile {
        file: file(),
        from: from.into(),
        with: Scope::Everyone,
        sources,
    };
    let search = || Command::SearchFiles { words: "film".into() };
    let files = vec![found("luke", 0), found("yoda", 2)];
    assert_eq!(
        answered(search(), Answer::SharedFiles { files: files.clone(), more: true }),
        "* search-files: 2 files; get and the number fetches one; there are more, with more words \
         fewer\n\
         \x20 1: film.mkv, 500 MB, from luke, nobody who has it is here now\n\
         \x20 2: film.mkv, 500 MB, from yoda, 2 people have parts of it\n"
    );
    assert_eq!(
        answered(search(), Answer::SharedFiles { files: Vec::new(), more: false }),
        "* search-files: nobody shares such a file with you now\n"
    );
    assert!(
        answered(Command::Get { which: "film.mkv".into() }, Answer::SeveralFiles(files))
            .starts_with("* get film.mkv: several files are called so; say which by its number\n")
    );
    let share = |with, here| ShareLine {
        number: 1,
        file: file(),
        with,
        sources: Some(1),
        given: 2_000,
        here,
    };
    assert_eq!(
        answered(
            Command::Shares,
            Answer::Shares(vec![share(Some(two()), true), share(None, true)])
        ),
        "* shares: 2 files\n\
         \x20 1: film.mkv, 500 MB, for luke, yoda, 1 other has parts of it, 2.0 kB given\n\
         \x20 1: film.mkv, 500 MB, fetched from others and passed on, 1 other has parts of it, 2.0 kB \
         given\n"
    );
    let gets = vec![GetLine { number: 4, file: file(), progress: half(), starving: false }];
    assert_eq!(
        answered(Command::Files, Answer::Files { transfers: Vec::new(), gets }),
        "* files: 1 under way\n\
         \x20 4: film.mkv: 50 % of 500 MB, 477/954 parts from 3 sources, 50 MB/s, 5 seconds left\n"
    );
    let mut parts = PartMap::none(30);
    [0, 1, 2, 6, 20, 29].into_iter().for_each(|part| parts.insert(part));
    let holder = |user: &str, parts| Holder { user: user.into(), device: "laptop".into(), parts };
    let holders = |asked| {
        let holders = vec![holder("luke", parts.clone()), holder("yoda", PartMap::all(30))];
        Answer::Holders(Holders { file: file(), parts: 30, asked, holders })
    };
    let command = || Command::SearchParts { which: "1".into(), parts: Vec::new() };
    assert_eq!(
        answered(command(), holders(Vec::new())),
        "* search-parts 1: film.mkv: 30 parts; 2 people have some\n\
         \x20 luke (laptop): 1-3,7,21,30\n\
         \x20 yoda (laptop): all\n"
    );
    assert_eq!(
        answered(command(), holders(vec![2..=7, 30..=30])),
        "* search-parts 1: film.mkv: 30 parts; 2 people have some\n\
         \x20 luke (laptop): 2-3,7,30\n\
         \x20 yoda (laptop): 2-7,30\n"
    );
}

#[test]
fn a_row_fits_the_window() {
    let row = |columns| Render { columns: Some(columns), ..RENDER }.get_bar(&file(), &half());
    assert_eq!(
        &*row(|| 120),
        "  film.mkv [##########..........] 50 % of 500 MB, 477/954 parts from 3 sources, 50 MB/s, 5 \
         seconds left\n"
    );
    assert_eq!(&*row(|| 30), "  film.mkv 50 % of 500 MB,\n");
}
