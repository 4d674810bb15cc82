import { expect, it } from 'vitest';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import { createSessionFinder, type FoundSession, refuseUnsigned } from '../../../src/jobs/session-finder.ts';
import type { JobRecord } from '../../../src/records/ports.ts';
import type { SessionRecord } from '../../../src/records/session-ports.ts';
import type { Store } from '../../../src/store/store.ts';

const ID = '01J00000000000000000000001';

/**
 * The options of a session with this record, whose first job has this record.
 * @param later whether its other jobs, which are in folders by their number, are forged
 */
function optionsOf(
  signed: boolean | null,
  forged: boolean | null,
  { later = [] as readonly boolean[], explicit = false, project = 'web' } = {},
) {
  const request = resolvedPrompt({ provider: 'claude', cwd: '/of/the/job', allowedTools: ['Read'] });
  // as: only these fields are used.
  const job = forged === null ? null : ({ id: ID, request, forged } as JobRecord);
  const options = { provider: 'claude', cwd: '/of/the/record' };
  const found = {
    row: { id: ID, provider: 'claude', cwd: '/of/the/copy', project },
    record: signed === null ? null : ({ signed, options, explicit } as SessionRecord),
  } as FoundSession;
  const finder = createSessionFinder({
    ...{ sessionRecords: { read: async () => null }, records: { read: async () => job } },
    store: {
      async run(name: string, { id }: { readonly id: string }) {
        if (name === 'sessions.turns') return { data: later.map((_, at) => ({ jobId: String(at) })) };
        const isForged = later[Number(id)];
        const known = { project: 'web', request: { ...request, cwd: `/${id}` } };
        return isForged === undefined ? null : { ...known, forged: isForged };
      },
    } as unknown as Store,
    copier: { catchUp: async () => undefined },
  });
  return finder.options(found);
}

it('the options of a session are those of its record, if they are signed', async () => {
  expect(await optionsOf(true, null)).toEqual({ provider: 'claude', cwd: '/of/the/record' });
});

it('else they are those of its first job, if that is signed', async () => {
  const ofJob = { cwd: '/of/the/job', allowedTools: ['Read'] };
  expect(await optionsOf(false, false)).toMatchObject(ofJob);
  expect(await optionsOf(null, false)).toMatchObject(ofJob);
});

it('without its first job they are those of the oldest one that is signed', async () => {
  for (const signed of [false, null])
    expect(await optionsOf(signed, null, { later: [true, false, false] })).toMatchObject({ cwd: '/1' });
  const unsigned = { code: 'auth.unsigned' };
  await expect(optionsOf(false, null, { later: [true, true] })).rejects.toMatchObject(unsigned);
  // Another client of Redis has changed the first job, or the record, or its project.
  await expect(optionsOf(false, true, { later: [false] })).rejects.toMatchObject(unsigned);
  for (const changed of [{ explicit: true }, { project: 'ops' }])
    await expect(optionsOf(false, null, { later: [false], ...changed })).rejects.toMatchObject(unsigned);
});

it('a session without signed options takes no turn', async () => {
  await expect(optionsOf(false, true)).rejects.toMatchObject({ code: 'auth.unsigned' });
  await expect(optionsOf(false, null)).rejects.toMatchObject({ code: 'auth.unsigned' });
  await expect(optionsOf(null, true)).rejects.toMatchObject({ code: 'auth.unsigned' });
});

it('a terminal without a signed record is asked for nothing: its project may be a forged one', () => {
  const found = (kind: 'chat' | 'terminal', signed: boolean | null) =>
    ({ row: { kind }, record: signed === null ? null : { signed } }) as FoundSession; // as: only these
  expect(() => refuseUnsigned(found('terminal', false))).toThrow('the record of the session is not signed');
  for (const one of [found('terminal', true), found('terminal', null), found('chat', false)])
    expect(() => refuseUnsigned(one)).not.toThrow();
});
