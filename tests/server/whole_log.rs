//! What the servers of this test binary log, at every level.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

/// The log of all tests together: what a test hides has to be hidden from all of it.
#[derive(Clone, Default)]
pub(crate) struct WholeLog(Arc<Mutex<Vec<u8>>>);

impl WholeLog {
    /// Listens from the first call on. Other crates are left out: the server's own filter silences them.
    pub(crate) fn listen() -> &'static Self {
        static LOG: OnceLock<WholeLog> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Self::default();
            let writer = log.clone();
            // For the whole process: a subscriber of one thread hears nothing of the tasks on others.
            tracing_subscriber::fmt()
                .with_env_filter("agentidp_server=trace,agentidp_secrets=trace")
                .with_ansi(false)
                .with_writer(move || writer.clone())
                .init();
            log
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for WholeLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
