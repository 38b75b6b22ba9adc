//! Profiles of `~/.aws/config` and `~/.aws/credentials`, which object_store does not read.
//!
//! Only what stands there in plain is used: keys, region, endpoint. A profile that gets its keys by
//! other means (single sign-on, a role, a process) is refused by name.

use std::collections::HashMap;
use std::fs;
use std::future::{Future, ready};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use object_store::CredentialProvider;
use object_store::aws::AwsCredential;

use crate::error::{Error, Result};
use crate::store::access::Access;

/// Keys of a profile that say that its credentials come from elsewhere.
const ELSEWHERE: [&str; 5] =
    ["sso_session", "sso_start_url", "role_arn", "credential_process", "credential_source"];

/// One profile, of both files.
#[derive(Clone, Debug)]
pub struct Profile {
    name: String,
    files: [PathBuf; 2],
    settings: Settings,
}

/// Key → value.
type Settings = HashMap<String, String>;

impl Profile {
    /// The profile that was asked for, else `AWS_PROFILE`, else `default` if it exists.
    ///
    /// # Errors
    /// A profile that was asked for and is not there.
    pub fn load(access: &Access) -> Result<Option<Self>> {
        let asked = access.profile.as_deref().or_else(|| access.variable("AWS_PROFILE"));
        let name = asked.unwrap_or("default").to_owned();
        let home = access.variable("HOME").map_or_else(PathBuf::new, PathBuf::from).join(".aws");
        let file = |variable, own| access.variable(variable).map_or_else(|| home.join(own), PathBuf::from);
        let files = [file("AWS_CONFIG_FILE", "config"), file("AWS_SHARED_CREDENTIALS_FILE", "credentials")];
        match settings(&files, &name) {
            Some(settings) => Ok(Some(Self { name, files, settings })),
            None if asked.is_some() => {
                let [config, credentials] = files.each_ref().map(|file| file.display());
                Err(Error::usage(format!("no profile {name} in {config} or {credentials}"))
                    .hint("`aws configure list-profiles` tells which there are"))
            }
            None => Ok(None),
        }
    }

    /// A value that stands in the profile.
    pub fn setting(&self, key: &str) -> Option<String> {
        self.settings.get(key).cloned()
    }

    /// What signs requests; `None` when the profile has nothing for it.
    ///
    /// # Errors
    /// A profile whose keys come from elsewhere.
    pub fn credentials(&self) -> Result<Option<Arc<Credentials>>> {
        if let Some(credential) = credential(&self.settings) {
            let known = Mutex::new((self.modified(), Arc::new(credential)));
            return Ok(Some(Arc::new(Credentials { profile: self.clone(), known })));
        }
        match ELSEWHERE.iter().find(|key| self.settings.contains_key(**key)) {
            Some(key) => Err(Error::usage(format!("profile {} gets its keys by {key}, not from a file", self.name))
                .hint(format!(
                    "eval \"$(aws configure export-credentials --profile {} --format env)\" and run again without the profile",
                    self.name
                ))),
            None => Ok(None),
        }
    }

    fn modified(&self) -> [Option<SystemTime>; 2] {
        self.files.each_ref().map(|file| fs::metadata(file).and_then(|meta| meta.modified()).ok())
    }
}

/// The keys of a profile, read anew when its files change: that is how others renew them.
pub struct Credentials {
    profile: Profile,
    known: Mutex<([Option<SystemTime>; 2], Arc<AwsCredential>)>,
}

impl Credentials {
    fn current(&self) -> Arc<AwsCredential> {
        let modified = self.profile.modified();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != modified {
            let Profile { files, name, .. } = &self.profile;
            // Half-written files leave the old keys in use until they are whole.
            if let Some(credential) = settings(files, name).as_ref().and_then(credential) {
                *known = (modified, Arc::new(credential));
            }
        }
        Arc::clone(&known.1)
    }
}

/// Without the keys.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("profile", &self.profile.name).finish_non_exhaustive()
    }
}

impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    fn get_credential<'a, 'b>(
        &'a self,
    ) -> Pin<Box<dyn Future<Output = object_store::Result<Arc<AwsCredential>>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(ready(Ok(self.current())))
    }
}

fn credential(settings: &Settings) -> Option<AwsCredential> {
    Some(AwsCredential {
        key_id: settings.get("aws_access_key_id")?.clone(),
        secret_key: settings.get("aws_secret_access_key")?.clone(),
        token: settings.get("aws_session_token").cloned(),
    })
}

/// The settings of a profile, those of the credentials file before those of the config file.
fn settings([config, credentials]: &[PathBuf; 2], name: &str) -> Option<Settings> {
    let read = |file: &Path| fs::read_to_string(file).unwrap_or_default();
    let section = if name == "default" { name.to_owned() } else { format!("profile {name}") };
    let config = section_of(&read(config), &section);
    let credentials = section_of(&read(credentials), name);
    match (config, credentials) {
        (None, None) => None,
        (config, credentials) => {
            let mut settings = config.unwrap_or_default();
            settings.extend(credentials.unwrap_or_default());
            Some(settings)
        }
    }
}

/// The lines `key = value` below `[section]`. Indented lines belong to a nested setting, which none of ours is.
fn section_of(text: &str, section: &str) -> Option<Settings> {
    let mut found: Option<Settings> = None;
    let mut within = false;
    for line in text.lines() {
        if let Some(name) = line.trim().strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            within = name.split_whitespace().eq(section.split_whitespace());
            if within {
                found.get_or_insert_default();
            }
        } else if let (true, Some(settings)) =
            (within && !line.starts_with([' ', '\t', '#', ';']), &mut found)
            && let Some((key, value)) = line.split_once('=')
        {
            settings.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(config: &str, credentials: &str) -> (tempfile::TempDir, Access) {
        let home = tempfile::tempdir().unwrap();
        let aws = home.path().join(".aws");
        fs::create_dir(&aws).unwrap();
        fs::write(aws.join("config"), config).unwrap();
        fs::write(aws.join("credentials"), credentials).unwrap();
        let mut access = Access::default();
        access.environment.insert("HOME".to_owned(), home.path().to_str().unwrap().to_owned());
        (home, access)
    }

    const CONFIG: &str = "[default]\nregion = us-west-2\n\n[profile lab]\n# ours\nregion=eu-central-1\n\
                          endpoint_url = https://s3.lab\ns3 =\n  addressing_style = path\n[profile sso]\nsso_session = x\n";
    const CREDENTIALS: &str = "[default]\naws_access_key_id = A\naws_secret_access_key = B\n\
                               [lab]\naws_access_key_id=C\naws_secret_access_key=D=\naws_session_token = E\n";

    #[test]
    fn a_profile_is_both_files_together() {
        let (_home, mut access) = access(CONFIG, CREDENTIALS);
        let default = Profile::load(&access).unwrap().unwrap();
        assert_eq!(default.setting("region").as_deref(), Some("us-west-2"));
        assert_eq!(default.credentials().unwrap().unwrap().current().key_id, "A");
        access.environment.insert("AWS_PROFILE".to_owned(), "lab".to_owned());
        let lab = Profile::load(&access).unwrap().unwrap();
        assert_eq!(lab.setting("endpoint_url").as_deref(), Some("https://s3.lab"));
        assert_eq!(lab.setting("addressing_style"), None);
        let credential = lab.credentials().unwrap().unwrap().current();
        assert_eq!((credential.secret_key.as_str(), credential.token.as_deref()), ("D=", Some("E")));
    }

    #[test]
    fn profiles_that_are_not_there_or_hold_no_keys_are_named() {
        let (_home, mut access) = access(CONFIG, CREDENTIALS);
        access.profile = Some("none".to_owned());
        let error = Profile::load(&access).unwrap_err();
        assert!(error.to_string().contains("no profile none"), "{error}");
        access.profile = Some("sso".to_owned());
        let error = Profile::load(&access).unwrap().unwrap().credentials().unwrap_err();
        assert!(
            error.to_string().contains("sso_session")
                && error.remedy().unwrap().contains("export-credentials")
        );
    }

    #[test]
    fn keys_that_are_renewed_in_the_file_are_used_and_never_printed() {
        let (home, access) = access(CONFIG, CREDENTIALS);
        let credentials = Profile::load(&access).unwrap().unwrap().credentials().unwrap().unwrap();
        let file = home.path().join(".aws/credentials");
        fs::write(&file, "[default]\naws_access_key_id = NEW\naws_secret_access_key = HIDDEN\n").unwrap();
        let later = SystemTime::now() + std::time::Duration::from_secs(5);
        fs::File::open(&file).unwrap().set_modified(later).unwrap();
        assert_eq!(credentials.current().key_id, "NEW");
        assert!(!format!("{credentials:?}").contains("HIDDEN"));
    }
}
