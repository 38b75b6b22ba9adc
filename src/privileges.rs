//! What a mount's process gives up before it reads the first byte of a store.

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs};

use crate::error::{Error, ErrorKind, Result};

/// Gives up all that serving a mount does not need. To be called before there is a second thread:
/// capabilities belong to threads, and later ones inherit what is left.
///
/// * Capabilities, but for mounting and unmounting, and reading and writing the files of any owner
///   as root is used to.
/// * Gaining any by running a program. Not without root: fusermount3 gains what it unmounts with.
/// * Being looked into by other processes of the same user: credentials of stores are in memory.
///
/// # Errors
/// A system that refuses to take something away.
pub fn give_up() -> Result<()> {
    let failed = |e: rustix::io::Errno| {
        Error::new(ErrorKind::System, format!("cannot give up privileges: {}", std::io::Error::from(e)))
    };
    let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::DAC_READ_SEARCH | CapabilitySet::DAC_OVERRIDE;
    let have = capabilities(None).map_err(failed)?;
    let left = CapabilitySets {
        effective: have.effective & needed,
        permitted: have.permitted & needed,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, left).map_err(failed)?;
    if left.effective.contains(CapabilitySet::SYS_ADMIN) {
        set_no_new_privs(true).map_err(failed)?;
    }
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(failed)
}
