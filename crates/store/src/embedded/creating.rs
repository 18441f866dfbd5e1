//! How the file of a [`RedbStore`] comes into being: whole, or not at all.
//!
//! The engine needs several writes to lay out a file, and takes one where a crash or a full disk
//! came between them for no file of its own. So a new store is laid out beside its path, in a file
//! of the same name with `.new` at the end, and gets its name when it is durable.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use lastword_ports::{StoreError, StoreErrorKind};

use super::{RedbStore, builder, opening};

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
    let draft = draft_of(path);
    if let Err(error) = lay_out(&draft) {
        if error.kind != StoreErrorKind::Corrupt {
            return Err(error);
        }
        // An earlier creation was interrupted: nobody was ever given anything of that file.
        fs::remove_file(&draft).map_err(opening)?;
        lay_out(&draft)?;
    }
    match fs::rename(&draft, path) {
        // Another process gave the same draft its name: the path has a store.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => result.map_err(opening)?,
    }
    sync_folder_of(path).map_err(opening)
}

fn lay_out(draft: &Path) -> Result<(), StoreError> {
    RedbStore::start(builder().create(draft).map_err(opening)?).map(drop)
}

fn draft_of(path: &Path) -> PathBuf {
    let mut draft = OsString::from(path);
    draft.push(".new");
    draft.into()
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
