//! Checks of the kernel that all sandboxes share.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use super::super::Check;
use crate::driver::Runtime;
use crate::landlock;

/// A kernel that was built longer ago lacks mends of holes by which programs become root.
const MAX_AGE_DAYS: u64 = 90;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

pub(super) fn age() -> Check {
    let name = "kernel";
    let remedy = "install the kernel updates of your distribution, and restart after each";
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let today = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 86_400;
    match built(&uname.version().to_string_lossy()) {
        None => Check::warn(name, format!("Linux {release}, of unknown age"), remedy),
        Some(day) => {
            let days = today.saturating_sub(day);
            let detail = format!("Linux {release}, built {days} days ago");
            if days <= MAX_AGE_DAYS {
                Check::ok(name, detail)
            } else {
                Check::fail(name, detail, remedy)
            }
        }
    }
}

/// The day on which a kernel was built, counted from 1970, by the text of uname(2): Debian writes
/// `(2026-11-02)`, most others `Mon Nov 2 12:00:00 UTC 2026`.
pub(super) fn built(version: &str) -> Option<u64> {
    let words: Vec<&str> = version.split(|c: char| c.is_whitespace() || "()".contains(c)).collect();
    let iso = words.iter().find_map(|word| {
        let mut numbers = word.splitn(3, '-').map(str::parse::<u64>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    let (year, month, day) = iso.or_else(|| {
        let at = words.iter().position(|word| MONTHS.contains(word))?;
        let month = MONTHS.iter().position(|month| words.get(at) == Some(month))? + 1;
        let day = words.get(at + 1..)?.iter().find_map(|word| word.parse().ok())?;
        let year = words
            .get(at..)?
            .iter()
            .rev()
            .find_map(|word| word.parse().ok().filter(|y| *y > 2000))?;
        Some((year, u64::try_from(month).ok()?, day))
    })?;
    ((1970..3000).contains(&year) && (1..=12).contains(&month))
        .then(|| day_number(year, month, day))
}

/// Days since 1970-01-01 in the Gregorian calendar.
const fn day_number(year: u64, month: u64, day: u64) -> u64 {
    // Years that begin in March have the leap day at their end.
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468
}

/// Whether one program can read memory of another one through the processor.
pub(super) fn processor() -> Check {
    let name = "processor";
    let dir = fs::read_dir("/sys/devices/system/cpu/vulnerabilities").into_iter().flatten();
    let mut open: Vec<String> = dir
        .flatten()
        .filter(|entry| {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            text.starts_with("Vulnerable")
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    open.sort();
    if open.is_empty() {
        Check::ok(name, "no known hole is open")
    } else {
        let remedy = "update the kernel and the microcode, and boot without mitigations=off";
        Check::warn(name, format!("not mitigated: {}", open.join(", ")), remedy)
    }
}

/// Whether a security module is a further layer of defence of shells by this runtime.
pub(super) fn modules(runtime: &Runtime) -> Check {
    let name = "security modules";
    // The list may not be mounted.
    let active = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    let useful = useful_modules(&active, landlock::is_supported(), runtime);
    if useful.is_empty() {
        let remedy = "use a kernel with AppArmor or SELinux, as distributions have, or with \
                      Landlock and the built-in runtime";
        Check::warn(name, "none", remedy)
    } else {
        Check::ok(name, useful.join(", "))
    }
}

/// Those of the active modules, a list with commas, that restrict shells by this runtime.
pub(super) fn useful_modules<'a>(
    active: &'a str,
    has_landlock: bool,
    runtime: &Runtime,
) -> Vec<&'a str> {
    let mut useful: Vec<&str> = active
        .trim()
        .split(',')
        .filter(|module| ["apparmor", "selinux", "smack", "tomoyo"].contains(module))
        .collect();
    // Only the built-in runtime gives shells a domain.
    if has_landlock && matches!(runtime, Runtime::BuiltIn) {
        useful.push("landlock");
    }
    useful
}

/// Whether the kernel was booted with this parameter.
pub(super) fn has_parameter(parameter: &str) -> bool {
    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    line.split_ascii_whitespace().any(|word| word == parameter)
}
