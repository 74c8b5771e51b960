//! Converts what a runner reports over a connection of its own.

use domain::ports::{Report, ReportedEnd, ReportedOutput};
use link::frame::{self, ToRunner};

use super::end;

/// The domain's report; none if the job is none of this service.
pub fn report(report: frame::Report) -> Option<Report> {
    let output = report.output.into_iter().map(|piece| ReportedOutput {
        stream: end::stream(piece.stream),
        from: piece.from,
        offset: piece.offset,
        bytes: piece.data.0,
    });
    let end = report.end.map(|end| ReportedEnd {
        at: (end.at.stdout, end.at.stderr),
        // A runner that connects by itself is not observed from outside its task.
        end: end::command_end(end.exit, || false),
    });
    Some(Report { job: report.job.parse().ok()?, output: output.collect(), end })
}

/// The answer to a report of this job.
pub fn stored(job: String, (stdout, stderr): (u64, u64), over: bool) -> ToRunner {
    ToRunner::Stored { job, stdout, stderr, over }
}
