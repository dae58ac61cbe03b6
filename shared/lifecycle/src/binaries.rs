//! Where the program is that is to be launched.
//!
//! rbee's programs are built and installed together, so a sibling is looked
//! for beside the running program first; PATH comes second, because what is
//! there may be of another version.

use std::{
    env,
    ffi::OsStr,
    fmt, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// A program that is in none of the places it could be in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFound {
    /// The program's file name.
    pub name: String,
    /// The folders that were searched, in order.
    pub searched: Vec<PathBuf>,
}

impl std::error::Error for NotFound {}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, searched } = self;
        let places: Vec<_> = searched.iter().map(|dir| dir.display().to_string()).collect();
        write!(
            f,
            "{name} was not found in {}: build it with `cargo build --bin {name}`, or put it \
             beside this program",
            places.join(", ")
        )
    }
}

/// The absolute path of the program `name`: beside this program, else on
/// PATH.
pub fn locate(name: &str) -> Result<PathBuf, NotFound> {
    locate_from(name, env::current_exe().ok().as_deref(), env::var_os("PATH").as_deref())
}

fn locate_from(
    name: &str,
    current_exe: Option<&Path>,
    path: Option<&OsStr>,
) -> Result<PathBuf, NotFound> {
    let mut searched = Vec::new();
    if let Some(dir) = current_exe.and_then(Path::parent) {
        searched.push(dir.to_owned());
        // Tests run from `deps/` and examples from `examples/`, one below the
        // programs.
        if dir.ends_with("deps") || dir.ends_with("examples") {
            searched.extend(dir.parent().map(Path::to_owned));
        }
    }
    // An entry relative to wherever we happen to be is not a place to run
    // programs from.
    let on_path = path.into_iter().flat_map(env::split_paths).filter(|dir| dir.is_absolute());
    searched.extend(on_path);
    match searched.iter().map(|dir| dir.join(name)).find(|file| is_program(file)) {
        Some(file) => Ok(file),
        None => Err(NotFound { name: name.to_owned(), searched }),
    }
}

fn is_program(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Install(tempfile::TempDir);

    impl Install {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, file: &str) -> PathBuf {
            self.0.path().join(file)
        }

        fn program(self, file: &str, mode: u32) -> Self {
            let path = self.path(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            self
        }

        fn locate(&self, exe: &str, path: &[&str]) -> Result<PathBuf, NotFound> {
            let path = env::join_paths(path.iter().map(|dir| self.path(dir))).unwrap();
            locate_from("rbee-hive", Some(&self.path(exe)), Some(&path))
        }
    }

    #[test]
    fn a_sibling_comes_before_the_path() {
        let install =
            Install::new().program("bin/rbee-hive", 0o755).program("usr/rbee-hive", 0o755);
        assert_eq!(install.locate("bin/queen", &["usr"]).unwrap(), install.path("bin/rbee-hive"));
        assert_eq!(install.locate("x/queen", &["usr"]).unwrap(), install.path("usr/rbee-hive"));
    }

    #[test]
    fn a_test_finds_the_programs_one_folder_up() {
        let install = Install::new().program("debug/rbee-hive", 0o755);
        let found = install.locate("debug/deps/test-1", &[]).unwrap();
        assert_eq!(found, install.path("debug/rbee-hive"));
    }

    #[test]
    fn what_cannot_be_run_is_passed_over() {
        let install = Install::new()
            .program("bin/rbee-hive", 0o644)
            .program("a/rbee-hive/file", 0o755)
            .program("b/rbee-hive", 0o755);
        let found = install.locate("bin/queen", &["a", "b"]).unwrap();
        assert_eq!(found, install.path("b/rbee-hive"));
    }

    #[test]
    fn a_missing_program_is_answered_with_where_it_was_looked_for_and_how_to_build_it() {
        let install = Install::new();
        let error = install.locate("bin/queen", &["usr"]).unwrap_err().to_string();
        for part in ["bin,", "usr:", "cargo build --bin rbee-hive"] {
            assert!(error.contains(part), "{error}");
        }
        let relative = locate_from("sh", None, Some(OsStr::new("bin:.:"))).unwrap_err();
        assert!(relative.searched.is_empty(), "{relative}");
        assert!(locate("sh").unwrap().is_absolute());
    }
}
