// Answers that a terminal gives by itself when a program asks for its type, its state or its colours.

const REPORTS = [
  // Device attributes, the position of the cursor, the status of the terminal.
  /^\x1b\[[?>=]?[\d;]*[cRn]$/,
  // The state of a mode, the size of the window.
  /^\x1b\[\??[\d;]*\$y$/,
  /^\x1b\[[\d;]+t$/,
  // Colours, and settings by DCS.
  /^\x1b\](4|1\d);.*(\x07|\x1b\\)$/s,
  /^\x1bP.*\x1b\\$/s,
];

/**
 * Whether this input is such an answer. Output that is shown again asks again, and the answer would be
 * typed into a program that has not asked.
 */
export function isReport(input: string): boolean {
  return REPORTS.some((report) => report.test(input));
}
