//! What a mount shows, in one number.

use sha2::{Digest, Sha256};

use super::Filesystem;

impl Filesystem {
    /// Two filesystems of one identity number the same nodes alike and show the same in them, so that
    /// one can go on where the other ended: same store, same version of its index, same options,
    /// same version of samplefs.
    pub fn identity(&self) -> String {
        let snapshot = self.snapshot();
        let mut digest = Sha256::new();
        let mut add = |text: &str| {
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text);
        };
        add(env!("CARGO_PKG_VERSION"));
        add(&self.objects.location());
        add(&format!("{:?} {:?}", snapshot.written, self.options.formats));
        for file in &snapshot.plain {
            add(&format!("{file:?}"));
        }
        let catalog = snapshot.catalog();
        add(&format!("{:?} {:?}", catalog.domains, catalog.fields));
        for sample in catalog.samples() {
            add(catalog.id(sample));
            add(&format!("{:?}", catalog.grids(sample)));
        }
        digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
