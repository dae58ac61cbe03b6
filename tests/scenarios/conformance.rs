//! The documented protocol as two tables, and a driver that walks every cell
//! of them against a queen and a hive that run.
//!
//! A table is complete or the test fails: an operation, a field or a route
//! that the product has and the table has not is a failure like any other.

mod operations;
mod routes;

use anyhow::ensure;
use serde_json::{Value, json};

/// The cells that went wrong; all of them are walked before they are shown.
#[derive(Default)]
struct Walk {
    cells: usize,
    wrong: Vec<String>,
}

impl Walk {
    fn cell(&mut self, name: String, outcome: anyhow::Result<()>) {
        self.cells += 1;
        if let Err(error) = outcome {
            self.wrong.push(format!("{name}: {error:#}"));
        }
    }

    fn end(self) -> anyhow::Result<()> {
        let (wrong, cells) = (self.wrong.len(), self.cells);
        ensure!(wrong == 0, "{wrong} of {cells} cells:\n{}", self.wrong.join("\n"));
        Ok(())
    }
}

/// The lines of a table, each split into its columns.
fn lines(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = table.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| line.split('|').map(str::trim).collect())
}

/// The canonical form, and the two older ones.
pub(crate) fn forms(name: &str, fields: &Value) -> [Value; 3] {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    let pascal: String = name.split('_').map(capital).collect();
    let tagged = |tag: &str, name: &str| {
        let mut operation = fields.clone();
        operation[tag] = name.into();
        operation
    };
    [tagged("operation", name), json!({"operation": {&pascal: fields}}), tagged("type", &pascal)]
}
