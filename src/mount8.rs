//! The command as mount(8) calls it: `mount.samplefs`, or through `mount.fuse`.
//!
//! `mount -t samplefs` runs `mount.samplefs SOURCE TARGET [-sfnv] -o OPTIONS`; `mount -t
//! fuse.samplefs` goes through mount.fuse, which runs `samplefs SOURCE TARGET -o OPTIONS`. No
//! command of ours has that form. Either is a `samplefs mount --daemon`, with mount(8)'s exit codes.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use crate::config::settings::{Definition, Kind, Setting, Source};
use crate::error::{Error, ErrorKind, Result};

/// Exit code of mount(8) for a call that is wrong or not permitted.
pub const USAGE: u8 = 1;
/// Exit code of mount(8) for a system that has no more to give.
const SYSTEM: u8 = 2;
/// Exit code of mount(8) for a defect of the program.
const DEFECT: u8 = 4;
/// Exit code of mount(8) for a mount that failed.
const FAILED: u8 = 32;

/// Options that fstab has for every filesystem and that change nothing here: what is mounted is
/// read only, without devices, set-user-id programs or times of access, and the rest is for those who
/// decide when to mount.
const GENERIC: [&str; 41] = [
    "defaults",
    "ro",
    "rw",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "sync",
    "async",
    "dirsync",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "lazytime",
    "nolazytime",
    "iversion",
    "noiversion",
    "mand",
    "nomand",
    "silent",
    "loud",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "nousers",
    "owner",
    "group",
    "nofail",
    "_netdev",
    "comment",
    "helper",
    "uhelper",
];

/// FUSE's own options that a mount of samplefs always has, or that its type says already.
const ALWAYS: [&str; 3] = ["default_permissions", "subtype", "nonempty"];

/// What mount(8) asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// The same in this command's own words.
    pub argv: Vec<OsString>,
    /// Whether to do all but mount (`-f`).
    pub fake: bool,
}

/// What mount(8) asks for, if it is who calls.
///
/// # Errors
/// An option that is not known or not right.
pub fn request(argv: &[OsString]) -> Option<Result<Request>> {
    let (program, arguments) = argv.split_first()?;
    let name = Path::new(program).file_name().unwrap_or_default();
    match arguments {
        _ if name == "mount.samplefs" || name == "mount.fuse.samplefs" => Some(translate(arguments)),
        [_, _, option, _] if option == "-o" => Some(translate(arguments)),
        _ => None,
    }
}

/// The code to exit with, as mount(8) expects it.
pub fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage | ErrorKind::Denied => USAGE,
        ErrorKind::System => SYSTEM,
        ErrorKind::Internal => DEFECT,
        _ => FAILED,
    }
}

fn translate(arguments: &[OsString]) -> Result<Request> {
    let (mut places, mut options) = (Vec::new(), Vec::new());
    let (mut sloppy, mut fake, mut verbose) = (false, false, false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let letters = match argument.as_bytes() {
            [b'-', letters @ ..] if !letters.is_empty() => letters,
            _ => {
                places.push(argument);
                continue;
            }
        };
        for (at, letter) in letters.iter().enumerate() {
            match letter {
                b's' => sloppy = true,
                b'f' => fake = true,
                b'v' => verbose = true,
                // No /etc/mtab is written; what is mounted is read only.
                b'n' | b'r' | b'w' => {}
                b'o' | b't' => {
                    let attached = &letters[at + 1..];
                    let value =
                        if attached.is_empty() { rest.next().map(|v| v.as_bytes()) } else { Some(attached) };
                    let Some(value) = value else {
                        return Err(usage(format!("-{} needs a value", *letter as char)));
                    };
                    if *letter == b'o' {
                        options.extend(split(value));
                    }
                    break;
                }
                _ => return Err(usage(format!("unknown option {}", argument.display()))),
            }
        }
    }
    let [source, target] = places[..] else {
        return Err(usage(format!("{} places were given", places.len())));
    };

    let definition = Definition::of_mount();
    let mut argv: Vec<OsString> = ["samplefs", "mount", "--daemon"].map(OsString::from).into();
    if verbose {
        argv.push("-v".into());
    }
    for option in options {
        match setting(&option, &definition) {
            Ok(Some(setting)) => argv.extend(definition.typed(&setting)),
            Ok(None) => {}
            Err(_) if sloppy => {}
            Err(error) => return Err(error),
        }
    }
    argv.extend(["--".into(), source.clone(), target.clone()]);
    Ok(Request { argv, fake })
}

fn usage(message: String) -> Error {
    Error::usage(message).hint("mount -t samplefs STORE MOUNTPOINT [-o OPTION[=VALUE],…]")
}

/// The options of a list. A comma within a value is written `\,`, as FUSE has it.
fn split(list: &[u8]) -> Vec<OsString> {
    let mut options = vec![Vec::new()];
    let mut bytes = list.iter().copied();
    while let Some(byte) = bytes.next() {
        let option = options.last_mut().expect("there is always one");
        match byte {
            b',' => options.push(Vec::new()),
            b'\\' => option.extend(bytes.next()),
            _ => option.push(byte),
        }
    }
    options.into_iter().filter(|option| !option.is_empty()).map(OsString::from_vec).collect()
}

/// The setting that an option of `-o` is; `None` for those that are for others.
fn setting(option: &OsStr, definition: &Definition) -> Result<Option<Setting>> {
    let bytes = option.as_bytes();
    let (key, value) = match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => (&bytes[..at], Some(OsStr::from_bytes(&bytes[at + 1..]))),
        None => (bytes, None),
    };
    let key = String::from_utf8_lossy(key);
    let for_others = key.starts_with("x-") || key.starts_with("X-");
    if for_others || GENERIC.contains(&&*key) || ALWAYS.contains(&&*key) {
        return Ok(None);
    }
    // FUSE writes allow_other where we write allow-other.
    let name = key.replace('_', "-");
    let wrong = |why: &str| Error::usage(format!("-o {key}: {why}"));
    let kind = definition.option(&name).ok_or_else(|| {
        let unknown = wrong("unknown option");
        match definition.nearest(&name) {
            Some(nearest) => unknown.hint(format!("did you mean {nearest}?")),
            None => unknown.hint("options are those of samplefs mount --help, without the dashes"),
        }
    })?;
    let value = match (kind, value) {
        (Kind::Flag, None) => "true".into(),
        (Kind::Flag, Some(value)) if value == "true" || value == "false" => value.to_owned(),
        (Kind::Flag, Some(_)) => return Err(wrong("it is true or false")),
        (Kind::Count, None) => "1".into(),
        (_, Some(value)) => value.to_owned(),
        (_, None) => return Err(wrong("it needs a value")),
    };
    let setting = Setting { name, values: vec![value], source: Source::CommandLine };
    definition.check(&setting).map_err(|why| wrong(&why))?;
    Ok(Some(setting))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &str) -> Option<Result<Request>> {
        request(&words.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    fn argv(words: &str) -> String {
        let request = asked(words).unwrap().unwrap();
        request.argv.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn both_forms_of_call_are_the_same_mount() {
        let meant = "samplefs mount --daemon --memory-target=1G --allow-other -- /s /m";
        assert_eq!(argv("/sbin/mount.samplefs /s /m -o rw,memory-target=1G,allow_other"), meant);
        assert_eq!(argv("/usr/bin/samplefs /s /m -o ro,memory_target=1G,allow-other=true,dev,suid"), meant);
        assert_eq!(argv("mount.samplefs -n -o memory-target=1G -t samplefs /s /m -oallow-other"), meant);
    }

    #[test]
    fn ordinary_commands_are_not_taken_for_mount8s() {
        for words in
            ["samplefs", "samplefs mount /s /m", "samplefs ls /s /p --long", "/usr/bin/samplefs a b c"]
        {
            assert_eq!(asked(words), None, "{words}");
        }
    }

    #[test]
    fn options_that_are_for_others_are_taken_and_dropped() {
        let list = "defaults,_netdev,nofail,x-systemd.automount,x-gvfs-show,X-mount.mkdir=755,user=me,noauto,comment=a";
        assert_eq!(argv(&format!("mount.samplefs /s /m -o {list}")), "samplefs mount --daemon -- /s /m");
    }

    #[test]
    fn a_value_may_hold_commas_and_equals_signs() {
        assert_eq!(
            argv(r"mount.samplefs /s /m -o filemap=/a\,b=c\\d,,uid=3"),
            r"samplefs mount --daemon --filemap=/a,b=c\d --uid=3 -- /s /m"
        );
    }

    #[test]
    fn the_letters_of_mount8_are_understood_together_and_apart() {
        let request = asked("mount.samplefs /s /m -sfnv -o nonsense=1").unwrap().unwrap();
        assert!(request.fake);
        assert_eq!(argv("mount.samplefs /s /m -v -s -o nonsense"), "samplefs mount --daemon -v -- /s /m");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (words, said) in [
            ("mount.samplefs /s /m -o cache-sise=1", "-o cache-sise: unknown option"),
            ("mount.samplefs /s /m -o memory-target", "-o memory-target: it needs a value"),
            ("mount.samplefs /s /m -o threads=0", "-o threads: 0 is not in 1..=1024"),
            ("mount.samplefs /s /m -o allow-other=2", "-o allow-other: it is true or false"),
            ("mount.samplefs /s /m -o remount", "-o remount: unknown option"),
            ("mount.samplefs /s /m -o store=/t", "-o store: unknown option"),
            ("mount.samplefs /s /m -o", "-o needs a value"),
            ("mount.samplefs /s", "1 places were given"),
            ("mount.samplefs /s /m -N 3", "unknown option -N"),
        ] {
            let error = asked(words).unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert_eq!(error.to_string(), said, "{words}");
        }
    }
}
