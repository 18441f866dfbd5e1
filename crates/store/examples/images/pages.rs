//! [`Pages`]: the bytes of a file, of which a copy costs little.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use crate::disk::Change;

const PAGE: usize = 4096;

/// Bytes in pages that are shared until they differ.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    pages: Vec<Arc<[u8; PAGE]>>,
    length: usize,
}

impl Pages {
    pub(crate) fn holding(bytes: &[u8]) -> Self {
        let mut pages = Self { pages: Vec::new(), length: 0 };
        pages.write(0, bytes);
        pages
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Reads bytes, or says that they are behind the end.
    pub(crate) fn read(&self, offset: usize, out: &mut [u8]) -> Option<()> {
        let end = offset.checked_add(out.len()).filter(|end| *end <= self.length)?;
        let mut at = offset;
        while at < end {
            let within = at % PAGE;
            let count = (PAGE - within).min(end - at);
            let page = &self.pages[at / PAGE][within..within + count];
            out[at - offset..at - offset + count].copy_from_slice(page);
            at += count;
        }
        Some(())
    }

    /// Does what was done to a disk. Writes behind the end are there too: the length that a crash
    /// lost was set before them.
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Write(offset, data) => self.write(*offset, data),
            Change::Resize(length) => self.resize(*length),
        }
    }

    pub(crate) fn write(&mut self, offset: usize, data: &[u8]) {
        if self.length < offset + data.len() {
            self.resize(offset + data.len());
        }
        let mut rest = data;
        let mut at = offset;
        while !rest.is_empty() {
            let within = at % PAGE;
            let (now, later) = rest.split_at((PAGE - within).min(rest.len()));
            Arc::make_mut(&mut self.pages[at / PAGE])[within..within + now.len()]
                .copy_from_slice(now);
            at += now.len();
            rest = later;
        }
    }

    fn resize(&mut self, length: usize) {
        let zeros = Arc::new([0; PAGE]);
        // What is behind the end is zero when it comes back.
        if let Some(last) = self.pages.get_mut(length / PAGE)
            && length < self.length
        {
            Arc::make_mut(last)[length % PAGE..].fill(0);
        }
        self.pages.resize(length.div_ceil(PAGE), zeros);
        self.length = length;
    }
}

/// Returns a number that tells apart what these changes may have left of some files.
pub(crate) fn print(files: &[Pages], changes: &[(usize, Change)]) -> u64 {
    let mut touched = BTreeSet::new();
    for (file, change) in changes {
        if let Change::Write(offset, data) = change {
            touched.extend((offset / PAGE..=(offset + data.len()) / PAGE).map(|page| (file, page)));
        }
    }
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.length.hash(&mut hasher);
    }
    for (file, page) in touched {
        files[*file].pages.get(page).hash(&mut hasher);
    }
    hasher.finish()
}
