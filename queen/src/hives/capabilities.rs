//! `capabilities.yaml`, brought up to date by whoever asks a hive for what it
//! has.

use std::sync::{Arc, Mutex, PoisonError};

use config::{Paths, capabilities::CapabilitiesFile};
use protocol::{ApiError, fleet::Capabilities};

use super::HiveLink;

/// What a hive has, and why that could not be written down, if it could not.
pub struct Refreshed {
    /// What it has.
    pub capabilities: Capabilities,
    /// Nothing depends on the file, so this is a remark and no error.
    pub unwritten: Option<String>,
}

/// The file. Cheap to clone.
#[derive(Clone)]
pub(super) struct Notebook(Arc<Mutex<CapabilitiesFile>>);

impl Notebook {
    pub(super) fn new(paths: &Paths) -> Self {
        Self(Arc::new(Mutex::new(CapabilitiesFile::new(paths.capabilities_file()))))
    }

    /// Asks the hive and notes what it says.
    pub(super) async fn refresh(&self, hive: &dyn HiveLink) -> Result<Refreshed, ApiError> {
        let capabilities = hive.capabilities().await?;
        let (file, id, url) = (Arc::clone(&self.0), hive.id().clone(), hive.url().to_owned());
        let devices = capabilities.devices.clone();
        // The disk is waited for, and that is not this thread's.
        let written = tokio::task::spawn_blocking(move || {
            // A write that panicked leaves the notes whole.
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.record(&id, &url, devices, daemon::now())
        });
        let unwritten = match written.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => {
                let cause = std::error::Error::source(&error);
                Some(cause.map_or(error.to_string(), |cause| format!("{error}: {cause}")))
            }
            Err(_) => Some("writing capabilities.yaml crashed".to_owned()),
        };
        if let Some(problem) = &unwritten {
            tracing::warn!(problem, "capabilities.yaml is not up to date");
        }
        Ok(Refreshed { capabilities, unwritten })
    }
}
