//! The tests of the workspace, read from its sources: which crate has which.

use std::fs;
use std::path::Path;

use crate::run::root;

/// A test, by crate and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Test {
    /// The folder of its crate.
    pub(crate) krate: String,
    /// The name of its function.
    pub(crate) name: String,
}

impl Test {
    /// Returns how documents name it: `crate::name`.
    pub(crate) fn path(&self) -> String {
        format!("{}::{}", self.krate, self.name)
    }
}

/// Returns every test of every crate, sorted.
pub(crate) fn tests() -> Result<Vec<Test>, String> {
    let mut tests = Vec::new();
    let crates = root().join("crates");
    for folder in entries(&crates)? {
        let Some(krate) = folder.file_name().and_then(|name| name.to_str()) else { continue };
        for part in ["src", "tests"] {
            visit(&folder.join(part), &mut |source| {
                let names = names_in(source).into_iter();
                tests.extend(names.map(|name| Test { krate: krate.to_owned(), name }));
            })?;
        }
    }
    if tests.is_empty() {
        return Err(format!("there is no test below {}", crates.display()));
    }
    tests.sort();
    Ok(tests)
}

fn entries(folder: &Path) -> Result<Vec<std::path::PathBuf>, String> {
    let failed = |error| format!("{} cannot be read: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn visit(folder: &Path, visitor: &mut dyn FnMut(&str)) -> Result<(), String> {
    if !folder.is_dir() {
        return Ok(());
    }
    for path in entries(folder)? {
        if path.is_dir() {
            visit(&path, visitor)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path)
                .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
            visitor(&source);
        }
    }
    Ok(())
}

/// Returns the names of the functions that `#[test]` marks. One that is ignored or a comment proves
/// nothing and is left out.
fn names_in(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_marked = false;
    for line in source.lines().map(str::trim_start) {
        if line.starts_with("#[test]") {
            is_marked = true;
        } else if line.starts_with("#[ignore") {
            is_marked = false;
        } else if let Some(rest) = line.strip_prefix("fn ") {
            if is_marked {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                names.push(rest[..end.unwrap_or(rest.len())].to_owned());
            }
            is_marked = false;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_would_run_is_a_test() {
        let source = "
            #[test]
            fn one() {}
            fn helper() {}
            #[test]
            #[should_panic]
            fn two((a, b) in pairs()) {}
            #[test]
            #[ignore]
            fn never() {}
            // #[test]
            // fn gone() {}
        ";

        assert_eq!(names_in(source), ["one", "two"]);
    }

    #[test]
    fn the_tests_of_the_workspace_are_found() {
        let tests = tests().unwrap();
        let wanted =
            Test { krate: "bolt3".to_owned(), name: "appendix_e_keys_are_derived".to_owned() };

        assert!(tests.contains(&wanted));
        assert_eq!(wanted.path(), "bolt3::appendix_e_keys_are_derived");
    }
}
