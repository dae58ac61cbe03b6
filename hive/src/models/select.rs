//! Which files of a repository a name means.
//!
//! Pure: it sees names and sizes, whether they come from the hub's listing or
//! from the cache on disk, so that a model is found under the name it was
//! downloaded by.

use protocol::{ApiError, ErrorCode, ModelRef, suggest::nearest};

/// Tried in this order when nobody says which quantisation: small enough for
/// most machines, good enough for most uses.
const PREFERRED: [&str; 8] =
    ["Q4_K_M", "Q4_K_S", "Q5_K_M", "Q4_0", "Q8_0", "Q6_K", "Q5_K_S", "Q3_K_M"];
/// How many names an error lists.
const SHOWN_MAX: usize = 12;

/// A model of the hub by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct HubName {
    pub(crate) repo: String,
    /// A file, or a quantisation.
    pub(crate) selector: Option<String>,
}

impl HubName {
    /// `None` for the demo model and for paths.
    pub(crate) fn of(model: &ModelRef) -> Option<Self> {
        let name = model.as_str();
        if model.is_demo() || name.starts_with('/') {
            return None;
        }
        let (repo, selector) = match name.split_once(':') {
            Some((repo, selector)) => (repo, Some(selector.to_owned())),
            None => (name, None),
        };
        Some(Self { repo: repo.to_owned(), selector })
    }
}

/// A model as the files it consists of, in the order of its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// Names inside the repository.
    pub(crate) files: Vec<String>,
    /// How many files there must be.
    pub(crate) parts: usize,
}

impl Group {
    /// The file that names the model.
    pub(crate) fn first(&self) -> &str {
        self.files.first().map_or("", String::as_str)
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.files.len() == self.parts
    }

    /// Whether this is a model of its own, and not something beside one: the
    /// image half of another model, or the statistics it was quantised by.
    fn is_model(&self) -> bool {
        let name = file_name(self.first()).to_ascii_lowercase();
        !name.starts_with("mmproj") && !name.contains("imatrix")
    }
}

/// The models among the files of a repository. Names that this program could
/// not be asked for are passed over.
pub(crate) fn groups<'a>(files: impl IntoIterator<Item = &'a str>) -> Vec<Group> {
    let mut names: Vec<&str> = files
        .into_iter()
        .filter(|name| name.to_ascii_lowercase().ends_with(".gguf"))
        .filter(|name| format!("o/r:{name}").parse::<ModelRef>().is_ok())
        .collect();
    names.sort_unstable();
    names.dedup();
    let mut groups: Vec<(String, Group)> = Vec::new();
    for name in names {
        let (stem, parts) = match part(name) {
            Some((stem, _, parts)) => (format!("{stem}/{parts}"), parts),
            None => (name.to_owned(), 1),
        };
        match groups.iter_mut().find(|(known, _)| *known == stem) {
            Some((_, group)) => group.files.push(name.to_owned()),
            None => groups.push((stem, Group { files: vec![name.to_owned()], parts })),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// The model that `name` means among the `files` of its repository.
pub(crate) fn select<'a>(
    name: &HubName,
    files: impl IntoIterator<Item = &'a str>,
) -> Result<Group, ApiError> {
    let all = groups(files);
    let repo = &name.repo;
    if all.is_empty() {
        return Err(not_found(format!("{repo} has no GGUF file"))
            .with_hint("workers run GGUF files: look for a repository whose name ends in -GGUF"));
    }
    let found = match &name.selector {
        None => unnamed(&all),
        Some(file) if file.to_ascii_lowercase().ends_with(".gguf") => {
            all.iter().find(|group| group.files.contains(file))
        }
        Some(quantisation) => quantised(&all, quantisation)
            .map_err(|several| ambiguous(name, quantisation, &several))?,
    };
    let group = match (found, &name.selector) {
        (Some(group), _) => group,
        (None, None) => return Err(undecided(repo, &all)),
        (None, Some(selector)) => return Err(unmatched(repo, selector, &all)),
    };
    if group.is_whole() {
        return Ok(group.clone());
    }
    let message = format!(
        "{} is one of {} parts, of which {repo} has {}",
        group.first(),
        group.parts,
        group.files.len()
    );
    Err(not_found(message).with_hint("choose another file of the repository, or another one"))
}

fn unnamed(all: &[Group]) -> Option<&Group> {
    let models: Vec<&Group> = all.iter().filter(|group| group.is_model()).collect();
    if let [only] = models[..] {
        return Some(only);
    }
    let with = |wanted: &&str| {
        let mut found = models.iter().filter(|it| quantisation(it.first()) == Some(*wanted));
        found.next().copied().filter(|_| found.next().is_none())
    };
    PREFERRED.iter().find_map(with)
}

/// The one model that is quantised so, or all of them.
fn quantised<'a>(all: &'a [Group], wanted: &str) -> Result<Option<&'a Group>, Vec<&'a Group>> {
    let is_so = |group: &&Group| {
        let stem = stem(group.first());
        let end = stem.len().checked_sub(wanted.len()).and_then(|at| stem.get(at..));
        let before = stem.len().checked_sub(wanted.len() + 1).and_then(|at| stem.get(at..=at));
        // `_` also stands inside the names of quantisations.
        let is_whole_word = before.is_none_or(|it| {
            matches!(it, "-" | "." | "/") || it == "_" && wanted.starts_with(char::is_alphabetic)
        });
        group.is_model() && is_whole_word && end.is_some_and(|end| end.eq_ignore_ascii_case(wanted))
    };
    let found: Vec<&Group> = all.iter().filter(is_so).collect();
    match found[..] {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        _ => Err(found),
    }
}

/// `Q4_K_M`, `IQ2_XS`, `BF16`, as a file's name ends.
pub(crate) fn quantisation(file: &str) -> Option<&str> {
    let stem = stem(file);
    let last = stem.rsplit(['-', '.', '/']).next()?;
    let digits = last.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let letters = &last[..last.len() - digits.len()];
    let is_kind = matches!(letters.to_ascii_uppercase().as_str(), "Q" | "IQ" | "TQ" | "F" | "BF");
    (is_kind && digits.starts_with(|c: char| c.is_ascii_digit())).then_some(last)
}

/// A file's name without its ending and without its part's number.
fn stem(file: &str) -> &str {
    match part(file) {
        Some((stem, ..)) => stem,
        None => file.get(..file.len().saturating_sub(".gguf".len())).unwrap_or(file),
    }
}

/// All parts of the model that `file` is the first part of; the file itself if
/// it is a whole model.
pub(crate) fn siblings(file: &str) -> Vec<String> {
    match part(file) {
        Some((stem, 1, parts)) => {
            (1..=parts).map(|number| format!("{stem}-{number:05}-of-{parts:05}.gguf")).collect()
        }
        _ => vec![file.to_owned()],
    }
}

/// `name-00002-of-00003.gguf` is part 2 of 3 of `name`.
fn part(file: &str) -> Option<(&str, usize, usize)> {
    const DIGITS: usize = 5;
    // A worker keeps a file open for each.
    const PARTS_MAX: usize = 500;
    let stem = file.get(..file.len().checked_sub(".gguf".len())?)?;
    let (rest, parts) = stem.rsplit_once("-of-")?;
    let (stem, index) = rest.rsplit_once('-')?;
    let number = |text: &str| (text.len() == DIGITS).then(|| text.parse::<usize>().ok()).flatten();
    let (index, parts) = (number(index)?, number(parts)?);
    ((1..=parts).contains(&index) && parts <= PARTS_MAX).then_some((stem, index, parts))
}

fn file_name(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

fn not_found(message: String) -> ApiError {
    ApiError::new(ErrorCode::ModelNotFound, message)
}

fn undecided(repo: &str, all: &[Group]) -> ApiError {
    not_found(format!("{repo} has several models; say which"))
        .with_hint(format!("one of: {}", shown(repo, all)))
}

fn ambiguous(name: &HubName, quantisation: &str, several: &[&Group]) -> ApiError {
    let several: Vec<Group> = several.iter().copied().cloned().collect();
    let names: Vec<String> =
        several.iter().take(SHOWN_MAX).map(|it| format!("{}:{}", name.repo, it.first())).collect();
    let message = format!("{} has {} files quantised as {quantisation}", name.repo, several.len());
    not_found(message).with_hint(format!("name the file: {}", names.join(", ")))
}

fn unmatched(repo: &str, selector: &str, all: &[Group]) -> ApiError {
    let error = not_found(format!("{repo} has no model {selector}"));
    let quantisations = all.iter().filter_map(|group| quantisation(group.first()));
    let names = all.iter().map(Group::first);
    match nearest(selector, quantisations.chain(names)) {
        Some(near) => error.with_hint(format!("did you mean `{repo}:{near}`?")),
        None => error.with_hint(format!("it has: {}", shown(repo, all))),
    }
}

fn shown(repo: &str, all: &[Group]) -> String {
    let name = |group: &Group| {
        let selector = quantisation(group.first()).unwrap_or_else(|| group.first());
        format!("{repo}:{selector}")
    };
    let mut names: Vec<String> =
        all.iter().filter(|group| group.is_model()).map(name).take(SHOWN_MAX + 1).collect();
    if names.len() > SHOWN_MAX {
        names.truncate(SHOWN_MAX);
        names.push("…".to_owned());
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPO: [&str; 9] = [
        "README.md",
        "tiny-Q8_0.gguf",
        "tiny.Q4_K_M.gguf",
        "big/tiny-F16-00002-of-00003.gguf",
        "big/tiny-F16-00001-of-00003.gguf",
        "big/tiny-F16-00003-of-00003.gguf",
        "mmproj-tiny-Q4_K_M.gguf",
        "tiny-Q5_K_M-00001-of-00002.gguf",
        "evil name.gguf",
    ];

    fn chosen(name: &str) -> Result<Vec<String>, ApiError> {
        let name = HubName::of(&name.parse().unwrap()).unwrap();
        select(&name, REPO).map(|group| group.files)
    }

    #[test]
    fn a_quantisation_picks_the_file_whatever_its_case() {
        assert_eq!(chosen("o/r:Q8_0").unwrap(), ["tiny-Q8_0.gguf"]);
        assert_eq!(chosen("o/r:q4_k_m").unwrap(), ["tiny.Q4_K_M.gguf"]);
    }

    #[test]
    fn a_split_model_brings_all_its_parts_in_order_whichever_is_named() {
        let parts: Vec<String> =
            (1..=3).map(|part| format!("big/tiny-F16-0000{part}-of-00003.gguf")).collect();
        assert_eq!(chosen("o/r:F16").unwrap(), parts);
        assert_eq!(chosen("o/r:big/tiny-F16-00002-of-00003.gguf").unwrap(), parts);
    }

    #[test]
    fn a_split_model_with_a_part_missing_is_refused() {
        let error = chosen("o/r:Q5_K_M").unwrap_err();
        assert_eq!(
            error.message,
            "tiny-Q5_K_M-00001-of-00002.gguf is one of 2 parts, of which o/r has 1"
        );
    }

    #[test]
    fn without_a_selector_the_usual_quantisation_is_taken_or_the_only_file() {
        assert_eq!(chosen("o/r").unwrap(), ["tiny.Q4_K_M.gguf"]);
        let name = HubName { repo: "o/r".to_owned(), selector: None };
        assert_eq!(select(&name, ["x.gguf", "mmproj-x.gguf"]).unwrap().files, ["x.gguf"]);
        let undecided = select(&name, ["a.gguf", "b.gguf"]).unwrap_err();
        assert_eq!(undecided.hint.as_deref(), Some("one of: o/r:a.gguf, o/r:b.gguf"));
        let none = select(&name, ["model.safetensors"]).unwrap_err();
        assert_eq!(none.message, "o/r has no GGUF file");
    }

    #[test]
    fn what_is_not_there_is_answered_with_what_is_near() {
        let error = chosen("o/r:Q4_K_S").unwrap_err();
        assert_eq!(error.code, ErrorCode::ModelNotFound);
        assert_eq!(error.hint.as_deref(), Some("did you mean `o/r:Q4_K_M`?"));
        // A quantisation is a whole word: `0` is none although a name ends so.
        assert!(chosen("o/r:0").is_err());
    }

    #[test]
    fn two_files_of_one_quantisation_are_told_apart_by_name() {
        let name = HubName::of(&"o/r:Q8_0".parse().unwrap()).unwrap();
        let error = select(&name, ["a-Q8_0.gguf", "b-Q8_0.gguf"]).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("name the file: o/r:a-Q8_0.gguf, o/r:b-Q8_0.gguf"));
    }

    #[test]
    fn only_hub_names_are_hub_names() {
        assert_eq!(HubName::of(&ModelRef::demo()), None);
        assert_eq!(HubName::of(&"/a/b.gguf".parse().unwrap()), None);
    }

    #[test]
    fn a_quantisation_is_read_from_the_name_of_a_file() {
        for (file, expected) in [
            ("a-Q4_K_M.gguf", Some("Q4_K_M")),
            ("a.IQ2_XS.gguf", Some("IQ2_XS")),
            ("a-bf16-00001-of-00002.gguf", Some("bf16")),
            ("llama-7b.gguf", None),
            ("quick.gguf", None),
        ] {
            assert_eq!(quantisation(file), expected, "{file}");
        }
    }
}
