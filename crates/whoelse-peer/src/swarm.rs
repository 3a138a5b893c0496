//! Files from many to many: what is shared, what is fetched from several at once, and who may have what.

use std::path::PathBuf;

use whoelse_proto::{FileHash, FileName, PartMap};

use crate::api::LinkId;

/// What the person wants; see [`crate::Node`].
pub(crate) enum Order {
    Share { number: u64, path: PathBuf },
    Note { hash: FileHash, note: String },
    Unshare { hash: FileHash },
    Get { hash: FileHash, size: u64, name: FileName, note: String },
    Source { hash: FileHash, link: LinkId, claims: Option<PartMap> },
    Cancel { hash: FileHash },
    Allow { link: LinkId, hash: FileHash },
    Disallow { link: LinkId, hash: FileHash },
}
