//! The `status` command: asks one mount, or all of this user's.

use std::fs;
use std::path::{Path, PathBuf, absolute};

use clap::Args;
use serde_json::Value;

use super::socket;
use crate::error::{Error, ErrorKind, Result};
use crate::output;

/// Links that are followed at most, as the kernel does.
const MOST_LINKS: usize = 40;

/// Options of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Where the store is mounted. [default: all mounts of this user]
    pub mountpoint: Option<PathBuf>,

    /// Print JSON instead of an outline.
    #[arg(long)]
    pub json: bool,
}

/// Prints what mounts tell of themselves.
///
/// # Errors
/// No mount there, or one that does not answer; of several the others are printed first.
pub fn status(args: &StatusArgs) -> Result<()> {
    if let Some(mountpoint) = &args.mountpoint {
        let place = place(mountpoint)?;
        let told = ask(&socket::path(&socket::directory()?, &place))?.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("no samplefs of this user serves {}", place.display()))
                .hint("samplefs status, without a path, tells of all there are")
        })?;
        let shown = if args.json { output::json(&told) + "\n" } else { output::outline(&told) };
        return output::write(shown.as_bytes()).map(|_| ());
    }
    let (mut told, mut failed) = (Vec::new(), None);
    for socket in socket::all()? {
        match ask(&socket) {
            Ok(status) => told.extend(status),
            Err(e) => failed = Some(e),
        }
    }
    let shown = if args.json {
        output::json(&told) + "\n"
    } else {
        told.iter().map(output::outline).collect::<Vec<_>>().join("\n")
    };
    output::write(shown.as_bytes())?;
    failed.map_or(Ok(()), Err)
}

fn ask(socket: &Path) -> Result<Option<Value>> {
    let Some(told) = socket::ask(socket)? else { return Ok(None) };
    let status = serde_json::from_slice(&told)
        .map_err(|e| Error::invalid(format!("{}: no status: {e}", socket.display())))?;
    Ok(Some(status))
}

/// A mount point in the form in which its mount knows it. The last component is only asked whether it is
/// a link, which the kernel tells without the mount: that may hang.
fn place(typed: &Path) -> Result<PathBuf> {
    let failed = |e| Error::io(format_args!("find {}", typed.display()), &e);
    let mut path = absolute(typed).map_err(failed)?;
    for _ in 0..MOST_LINKS {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return fs::canonicalize(&path).map_err(failed);
        };
        let parent = fs::canonicalize(parent).map_err(failed)?;
        let resolved = parent.join(name);
        match fs::read_link(&resolved) {
            Ok(target) => path = parent.join(target),
            Err(_) => return Ok(resolved),
        }
    }
    Err(Error::usage(format!("{}: too many links", typed.display())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_place_is_found_through_links_and_dots() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let mount = root.join("m");
        fs::create_dir(&mount).unwrap();
        symlink("m", root.join("link")).unwrap();
        symlink(root.join("link"), root.join("again")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        for typed in ["m", "m/", "link", "again", "./m", "m/../m", "m/../again"] {
            assert_eq!(place(&root.join(typed)).unwrap(), mount, "{typed}");
        }
        assert_eq!(place(&mount.join("..")).unwrap(), root);
        assert!(place(&root.join("loop")).unwrap_err().to_string().contains("too many links"));
        assert!(place(&root.join("none/m")).is_err());
    }
}
