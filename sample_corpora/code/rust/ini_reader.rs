// SPDX-License-Identifier: BSD-3-Clause
//! Reads INI files and reports the line on which something is wrong.

use std::collections::BTreeMap;
use std::fmt;

#[derive(Debug, PartialEq)]
pub enum IniError {
    UnclosedSection { line: usize },
    MissingEquals { line: usize },
    Duplicate { line: usize, key: String },
}

impl fmt::Display for IniError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IniError::UnclosedSection { line } => write!(out, "line {line}: section without ]"),
            IniError::MissingEquals { line } => write!(out, "line {line}: expected key = value"),
            IniError::Duplicate { line, key } => write!(out, "line {line}: {key} was set before"),
        }
    }
}

pub type Ini = BTreeMap<String, BTreeMap<String, String>>;

pub fn parse(text: &str) -> Result<Ini, IniError> {
    let mut ini = Ini::new();
    let mut section = String::new();
    for (index, raw) in text.lines().enumerate() {
        let line = index + 1;
        let content = raw.split(';').next().unwrap_or("").trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if let Some(rest) = content.strip_prefix('[') {
            let name = rest.strip_suffix(']').ok_or(IniError::UnclosedSection { line })?;
            section = name.trim().to_string();
            continue;
        }
        let (key, value) = content.split_once('=').ok_or(IniError::MissingEquals { line })?;
        let key = key.trim().to_string();
        let previous = ini
            .entry(section.clone())
            .or_default()
            .insert(key.clone(), value.trim().to_string());
        if previous.is_some() {
            return Err(IniError::Duplicate { line, key });
        }
    }
    Ok(ini)
}

fn main() {
    let text = "[lamp]\noil = whale ; not any more\nhours = 12\n[fog]\nhorn = true\n";
    match parse(text) {
        Ok(ini) => println!("{ini:#?}"),
        Err(problem) => eprintln!("{problem}"),
    }
    println!("{:?}", parse("[open\n"));
}
