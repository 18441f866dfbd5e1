//! How the file of a [`RedbStore`] comes into being: whole, or not at all.
//!
//! The engine needs several writes to lay out a file, and takes one where a crash or a full disk
//! came between them for no file of its own. So a new store is laid out beside its path, in a file
//! of the same name with `.new` at the end, and gets its name when it is durable and its journal is
//! there.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use lastword_ports::{StoreError, StoreErrorKind};

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::{RedbStore, builder, opening};
use crate::fault::{NOWHERE, refused};

/// Says whether there is a file with anything in it.
pub(super) fn is_there(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(found) => Ok(found.len() > 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes an empty store at a path where there is none.
pub(super) fn create(path: &Path) -> Result<(), StoreError> {
    let draft = beside(path, ".new");
    if let Err(error) = lay_out(path, &draft) {
        if error.kind != StoreErrorKind::Corrupt {
            return Err(error);
        }
        // An earlier creation was interrupted: nobody was ever given anything of that file.
        fs::remove_file(&draft).map_err(opening)?;
        lay_out(path, &draft)?;
    }
    // The journal has its name before the store that cannot be opened without it.
    sync_folder_of(path).map_err(opening)?;
    match fs::rename(&draft, path) {
        // Another process gave the same draft its name: the path has a store.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => result.map_err(opening)?,
    }
    sync_folder_of(path).map_err(opening)
}

/// Opens the file of a store's journal; `may_be_made` if it is the store's first.
pub(super) fn journal_of(
    path: &Path,
    may_be_made: bool,
) -> Result<Box<dyn StorageBackend>, StoreError> {
    let journal = beside(path, ".journal");
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(may_be_made).open(&journal);
    let file = match file {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !may_be_made => {
            return Err(refused(NOWHERE, "the journal of the store is missing"));
        }
        result => result.map_err(opening)?,
    };
    if may_be_made {
        sync_folder_of(&journal).map_err(opening)?;
    }
    Ok(Box::new(FileBackend::new(file).map_err(opening)?))
}

/// Lays out a store in a draft of its file, with the journal that it will have.
fn lay_out(path: &Path, draft: &Path) -> Result<(), StoreError> {
    let database = builder().create(draft).map_err(opening)?;
    // A draft that an earlier creation finished may have lost the journal that went with it.
    RedbStore::start(database, |_| journal_of(path, true)).map(drop)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// Makes the file's name as durable as the file.
#[cfg(unix)]
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Elsewhere a folder is no file, and the file system keeps names by itself.
#[cfg(not(unix))]
fn sync_folder_of(_path: &Path) -> io::Result<()> {
    Ok(())
}
