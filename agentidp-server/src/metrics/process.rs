//! The process itself, under the names that Prometheus' own libraries give it.

/// In the Prometheus text format; nothing where the system does not say.
#[cfg(target_os = "linux")]
pub(super) fn render() -> String {
    let mut text = String::new();
    let mut tell = |name, kind, help, value: Option<f64>| {
        if let Some(value) = value {
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n"));
        }
    };
    let (own, [virtual_memory, resident]) = (linux::Own::read(), linux::memory());
    tell("process_cpu_seconds_total", "counter", "Processor time that was used, in seconds.", Some(linux::computed()));
    tell("process_resident_memory_bytes", "gauge", "Memory in use, in bytes.", resident);
    tell("process_virtual_memory_bytes", "gauge", "Address space in use, in bytes.", virtual_memory);
    tell("process_open_fds", "gauge", "Open files, connections among them.", linux::open_files());
    tell("process_max_fds", "gauge", "Most files that may be open; 0 is no limit.", Some(linux::most_files()));
    tell("process_threads", "gauge", "Threads.", own.as_ref().map(|own| own.threads));
    let start = own.and_then(|own| own.start);
    tell("process_start_time_seconds", "gauge", "When the process started, in seconds since 1970.", start);
    text
}

#[cfg(not(target_os = "linux"))]
pub(super) fn render() -> String {
    String::new()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;

    use rustix::param::{clock_ticks_per_second, page_size};
    use rustix::process::{Resource, getrlimit};
    use rustix::time::{ClockId, clock_gettime};

    /// Of `/proc/self/stat` (proc_pid_stat(5)).
    pub(super) struct Own {
        pub(super) threads: f64,
        /// In seconds since 1970.
        pub(super) start: Option<f64>,
    }

    impl Own {
        pub(super) fn read() -> Option<Self> {
            let text = fs::read_to_string("/proc/self/stat").ok()?;
            // The name in parentheses may hold anything. The field after it is the third.
            let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
            let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
            let since_boot = field(22)? / clock_ticks_per_second() as f64;
            Some(Self { threads: field(20)?, start: boot().map(|boot| boot + since_boot) })
        }
    }

    /// When the machine started.
    fn boot() -> Option<f64> {
        let text = fs::read_to_string("/proc/stat").ok()?;
        text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
    }

    /// Address space and memory, in bytes.
    pub(super) fn memory() -> [Option<f64>; 2] {
        let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let mut pages = text.split_whitespace().map(|pages| Some(pages.parse::<f64>().ok()? * page_size() as f64));
        [pages.next().flatten(), pages.next().flatten()]
    }

    pub(super) fn computed() -> f64 {
        let computed = clock_gettime(ClockId::ProcessCPUTime);
        computed.tv_sec as f64 + computed.tv_nsec as f64 / 1e9
    }

    /// Without the one that counts them.
    pub(super) fn open_files() -> Option<f64> {
        Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
    }

    pub(super) fn most_files() -> f64 {
        getrlimit(Resource::Nofile).current.unwrap_or(0) as f64
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::UNIX_EPOCH;

    use agentidp_secrets::{Clock as _, SystemClock};

    use super::*;

    #[test]
    fn the_process_is_told_in_the_units_of_the_names() {
        let text = render();
        let value = |name: &str| -> f64 {
            let line =
                text.lines().find(|line| line.split(' ').next() == Some(name)).unwrap_or_else(|| panic!("{name}"));
            line.rsplit_once(' ').unwrap().1.parse().unwrap()
        };
        let now = SystemClock::default().now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(
            value("process_start_time_seconds") < now + 2.0 && value("process_start_time_seconds") > now - 86_400.0
        );
        assert!(value("process_cpu_seconds_total") > 0.0 && value("process_threads") >= 1.0);
        let resident = value("process_resident_memory_bytes");
        assert!(resident > 1e6 && resident < value("process_virtual_memory_bytes"));
        assert!(value("process_open_fds") >= 3.0 && value("process_max_fds") >= value("process_open_fds"));
    }
}
