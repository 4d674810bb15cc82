/** Lines that come on every run, also on one that succeeds (observed with gemini 0.61.0). */
const NOISE = [
  /^Warning: (256-color|True color)/,
  /^Ripgrep is not available/,
  /^\[STARTUP\]/,
  /^YOLO mode is enabled/,
  /^Loaded cached credentials/,
  /^\(node:\d+\)|^\(Use `node --trace/,
  /^ {4}at /,
];
const MAX_CHARS = 500;

/** What stderr says of a failure, at most 500 characters of its end; the usage text only to its first line. */
export function saidOnStderr(tail: string): string {
  const lines = tail.split('\n').filter((line) => line.trim() !== '' && !NOISE.some((one) => one.test(line)));
  const usage = lines.findIndex((line) => line.startsWith('Usage: gemini'));
  return lines
    .slice(0, usage > 0 ? usage : undefined)
    .join('\n')
    .trim()
    .slice(-MAX_CHARS);
}
