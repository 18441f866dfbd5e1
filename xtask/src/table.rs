//! Tables in Markdown, as far as the documents of this repository need them.

use std::fs;

use crate::run::root;

/// Reads a document of this repository.
pub(crate) fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(root().join(path)).map_err(|error| format!("{path} cannot be read: {error}"))
}

/// Returns the rows of the tables whose header is `header`, with the number of each one's line.
pub(crate) fn rows<'d, const N: usize>(
    document: &'d str,
    header: [&str; N],
) -> Result<Vec<(usize, [&'d str; N])>, String> {
    let mut rows = Vec::new();
    let mut is_inside = false;
    for (number, line) in (1..).zip(document.lines()) {
        let Some(cells) = cells(line) else {
            is_inside = false;
            continue;
        };
        if cells == header {
            is_inside = true;
        } else if is_inside && !cells.iter().all(|cell| cell.starts_with('-')) {
            let count = cells.len();
            let cells = cells
                .try_into()
                .map_err(|_| format!("line {number}: {count} cells, the header has {N}"))?;
            rows.push((number, cells));
        }
    }
    Ok(rows)
}

/// Returns the cells of a line of a table; code may hold no bar.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_other_tables_are_left_out_and_short_rows_refused() {
        let document = "| a | b |\n|---|---|\n| 1 | 2 |\n\n| x | y |\n|---|---|\n| 3 | 4 |";
        assert_eq!(rows(document, ["a", "b"]), Ok(vec![(3, ["1", "2"])]));

        let short = "| a | b |\n|---|---|\n| 1 |";
        assert_eq!(rows(short, ["a", "b"]), Err("line 3: 1 cells, the header has 2".to_owned()));
    }
}
