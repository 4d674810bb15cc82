import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../../../src/cli/commands.ts';
import { EXIT, EXIT_MEANINGS, exitCodeOf, exitCodeOfJob } from '../../../src/cli/failures.ts';
import { ERROR_CODES } from '../../../src/errors.ts';
import { anOutcome } from '../client/job.ts';

const failedWith = (code: string) => ({
  status: 'failed',
  outcome: anOutcome({ status: 'failed', error: { code, message: '', retryable: false, resetsAt: null } }),
});

describe('the exit code of a job', () => {
  it('is 0 for success alone, 130 for a cancelled one', () => {
    expect(exitCodeOfJob({ status: 'succeeded', outcome: anOutcome() })).toBe(0);
    expect(exitCodeOfJob({ status: 'cancelled', outcome: anOutcome({ status: 'cancelled' }) })).toBe(130);
  });

  it.each([
    ['execution.crashed', 1],
    ['execution.budget', 1],
    ['execution.max_turns', 1],
    ['execution.cli_missing', 69],
    ['execution.quota', 75],
    ['execution.overloaded', 75],
    ['execution.lost', 75],
    ['auth.required', 77],
    ['execution.timed_out', 124],
    ['execution.idle', 124],
    ['queue.expired', 124],
    ['approval.expired', 124],
    ['execution.of_the_future', 1],
  ])('that failed with %s is %i', (code, exitCode) => {
    expect(exitCodeOfJob(failedWith(code))).toBe(exitCode);
  });

  it('is 1 for a status and an outcome it does not know', () => {
    expect(exitCodeOfJob({ status: 'evaporated', outcome: null })).toBe(1);
  });
});

describe('the exit code of a refused request', () => {
  it.each([
    ['request.invalid', 400, 64],
    ['job.not_found', 404, 64],
    ['provider.unsupported_option', 422, 64],
    ['job.already_finished', 409, 64],
    ['job.not_finished', 409, 64],
    ['permission_mode.denied', 403, 64],
    ['tools.denied', 403, 64],
    ['auth.forbidden', 403, 77],
    ['request.timeout', 408, 69],
    ['auth.unauthenticated', 401, 77],
    ['redis.unavailable', 503, 69],
    ['internal.error', 500, 1],
    ['future.refusal', 418, 64],
    ['unknown', 403, 77],
    ['unknown', 502, 69],
  ])('%s (%i) is %i', (code, status, exitCode) => {
    expect(exitCodeOf(code, status)).toBe(exitCode);
  });

  it('is not 0 for any code', () => {
    for (const [code, { status }] of Object.entries(ERROR_CODES)) {
      expect(exitCodeOf(code, status), code).toBeGreaterThan(0);
      expect(exitCodeOf(code), code).toBeGreaterThan(0);
    }
  });
});

describe('docs/cli.md', () => {
  const page = readFileSync(new URL('../../../docs/cli.md', import.meta.url), 'utf8');

  it('has every exit code with its meaning', () => {
    for (const [name, meaning] of Object.entries(EXIT_MEANINGS)) {
      const code = EXIT[name as keyof typeof EXIT]; // the keys of one are those of the other
      expect(page).toContain(`| ${code} | ${meaning} |`);
    }
  });

  it('has every command with each of its options', () => {
    for (const { name, options } of COMMANDS) {
      expect(page, name).toContain(`bullpen ${name}`);
      for (const option of Object.keys(options)) expect(page, `${name} --${option}`).toContain(`--${option}`);
    }
  });
});
