//! Tables on standard output: a subject a row, a case a column.

use crate::measure::Timing;
use crate::subjects::Kind;

pub struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<(String, Vec<String>)>,
}

impl Table {
    pub fn new(title: impl Into<String>, columns: &[impl AsRef<str>]) -> Table {
        let columns = columns.iter().map(|column| column.as_ref().to_owned()).collect();
        Table { title: title.into(), columns, rows: Vec::new() }
    }

    pub fn row(&mut self, name: impl Into<String>, cells: Vec<String>) {
        self.rows.push((name.into(), cells));
    }

    pub fn print(&self) {
        let first = self.rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|at| {
                let cells = self.rows.iter().filter_map(|(_, cells)| cells.get(at));
                let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
                widest.max(self.columns[at].chars().count())
            })
            .collect();
        let line = |name: &str, cells: &[String]| {
            print!("  {name:first$}");
            for (cell, width) in cells.iter().zip(&widths) {
                print!("  {cell:>width$}");
            }
            println!();
        };
        println!("\n{}", self.title);
        line("", &self.columns);
        self.rows.iter().for_each(|(name, cells)| line(name, cells));
    }
}

/// Prints timings, with a list of subjects for each column: nanoseconds for one thread, otherwise million operations
/// per second. The number after each is how many times slower than the first subject, the library, it is.
pub fn print_timings(title: &str, kinds: &[Kind], threads: usize, columns: &[String], timings: &[Vec<Option<Timing>>]) {
    let unit = if threads == 1 { "ns" } else { "million operations a second" };
    let plural = if threads == 1 { "" } else { "s" };
    let mut table = Table::new(format!("{title}, {threads} thread{plural}: {unit}"), columns);
    for (which, kind) in kinds.iter().enumerate() {
        let cells = timings.iter().map(|column| match column[which] {
            None => "-".into(),
            Some(Timing { time, ratio }) => {
                let shown = if threads == 1 { time } else { 1000.0 / time };
                if which == 0 { format!("{shown:.1}      ") } else { format!("{shown:.1} {ratio:4.2}x") }
            }
        });
        table.row(kind.title(), cells.collect());
    }
    table.print();
}

pub fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && digits.len() > 4 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
