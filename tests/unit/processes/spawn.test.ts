import { describe, expect, it } from 'vitest';
import { spawnError } from '../../../src/processes/spawn.ts';

const failure = (code: string): Error => Object.assign(new Error(`spawn ${code}`), { code });

describe('the error of a failed spawn', () => {
  it.each(['EAGAIN', 'EMFILE', 'ENFILE', 'ENOMEM', 'E2BIG', 'ETXTBSY'])('%s: out of a resource', (code) => {
    const error = spawnError(failure(code), '/bin/sh', '/');
    expect(error.code).toBe('execution.resource_limit');
    expect(error.retryable).toBe(true);
  });

  it.each(['ENOENT', 'EACCES', 'ENOEXEC', 'ENOTDIR', 'EISDIR'])('%s: the CLI is missing', (code) => {
    expect(spawnError(failure(code), '/nonexistent/cli', '/').code).toBe('execution.cli_missing');
  });

  it('names the working directory when that is missing', () => {
    expect(spawnError(failure('ENOENT'), '/bin/sh', '/nonexistent').code).toBe('cwd.not_allowed');
    expect(spawnError(failure('ENOTDIR'), '/bin/sh', '/dev/null').code).toBe('cwd.not_allowed');
  });

  it('names the interpreter when the binary and the directory exist', () => {
    expect(spawnError(failure('ENOENT'), '/bin/sh', '/').message).toContain('interpreter');
  });

  it('is an internal error with its cause for an unknown code', () => {
    const cause = failure('EWHATEVER');
    expect(spawnError(cause, '/bin/sh', '/')).toMatchObject({ code: 'internal.error', cause });
  });
});
